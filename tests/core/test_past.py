"""Inner products with the rows of the step before, against float64; tests/device has them on another device."""

import pytest
import torch

from gradsurgery.core.jacobian import gram
from gradsurgery.core.past import with_past


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_products_and_lengths_are_those_of_float64_arithmetic(dtype):
    draws = torch.Generator().manual_seed(0)
    J, previous = (torch.randn(3, 5000, generator=draws).to(dtype) for _ in range(2))
    G, past = with_past(J, previous)
    assert (gram(J) == G).all()
    for j in range(3):
        for k in range(3):
            inner, length = past(j, k)
            assert inner == pytest.approx(float(J[j].double() @ previous[k].double()), rel=1e-4, abs=1e-3)
            assert length == pytest.approx(float(previous[k].double().norm()), rel=1e-5)


def test_before_there_is_a_past_all_of_it_is_zero():
    G, past = with_past(torch.eye(2), None)
    assert G.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert past(0, 1) == (0.0, 0.0)
