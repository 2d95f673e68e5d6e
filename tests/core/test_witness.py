"""Numbers that must be finite: they are summed where they lie, and a GPU is not waited for."""

import math

import pytest
import torch

from gradsurgery.core.witness import Witness


def test_numbers_on_the_host_add_up_and_nothing_is_left_beside():
    witness = Witness(1.0)
    for number in (2.0, 3.5):
        witness.note(torch.tensor(number))
    assert witness.total == 6.5
    assert witness.beside(torch.device("cpu")) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_number_that_is_not_finite_is_enough(bad):
    witness = Witness()
    for number in (1.0, bad, 2.0):
        witness.note(torch.tensor(number))
    assert not math.isfinite(witness.total)


def test_gradients_are_summed_dense_or_sparse_and_parameters_without_one_are_passed_over():
    dense, sparse, none = (torch.nn.Parameter(torch.zeros(3, 1)) for _ in range(3))
    dense.grad = torch.tensor([[1.0], [2.0], [3.0]])
    sparse.grad = torch.sparse_coo_tensor([[0, 0]], [[4.0], [5.0]], (3, 1), check_invariants=True)
    witness = Witness()
    witness.note_gradients([dense, sparse, none])
    assert witness.total == 15.0


def test_half_precision_is_summed_in_a_wider_range():
    parameter = torch.nn.Parameter(torch.zeros(4, dtype=torch.float16))
    parameter.grad = torch.full((4,), 6e4, dtype=torch.float16)  # 2.4e5 is more than float16 holds
    witness = Witness()
    witness.note_gradients([parameter])
    assert witness.total == pytest.approx(4 * 6e4, rel=1e-3)


def test_what_lies_on_a_device_is_not_read_but_kept_there():
    """The meta device holds no numbers: whoever asks for one gets an error."""
    witness = Witness()
    witness.note(torch.empty((), device="meta"))
    witness.note(torch.empty(1, device="meta"))
    assert witness.total == 0.0
    assert witness.beside(torch.device("meta")).shape == ()
