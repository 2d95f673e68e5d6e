"""Sketch by hand, at both ends of its strength, and what it promises."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradsurgery import aggregate
from gradsurgery.aggregators.sketch import Sketch
from tests.contracts import generator


def test_hand_worked():
    d = aggregate(np.array([[3.0, 4.0], [0.0, 1.0]]), "sketch")  # lengths 5 and 1, their mean is 3
    assert d == pytest.approx([1.8, 2.4 + 3.0])


@settings(max_examples=30, deadline=None)
@given(K=st.integers(1, 6), seed=st.integers(0, 1000))
def test_strength_goes_from_the_sum_to_equal_lengths(K, seed):
    J = generator(seed).standard_normal((K, 5))
    whole, _ = Sketch(strength=1.0)(J @ J.T, None, generator())
    parts = np.linalg.norm(whole[:, None] * J, axis=1)
    assert parts == pytest.approx(np.linalg.norm(J, axis=1).mean())
    none, _ = Sketch(strength=0.0)(J @ J.T, None, generator())
    assert none == pytest.approx(1.0)


def test_a_task_without_a_gradient_changes_nothing():
    J = torch.tensor([[3.0, 4.0], [0.0, 1.0]], dtype=torch.float64)
    assert torch.equal(aggregate(torch.cat([J, 0.0 * J[:1]]), "sketch"), aggregate(J, "sketch"))


@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_refuses(strength):
    with pytest.raises(ValueError, match=f"`strength` must be between 0 and 1, found strength = {strength}"):
        Sketch(strength=strength)
