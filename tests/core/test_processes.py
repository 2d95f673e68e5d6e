"""What processes agree on, with a group of one; and parameters in the losses' graph that nobody listed."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from gradsurgery.core.processes import agree, several, strays
from gradsurgery.core.witness import Witness


@pytest.fixture
def alone():
    """A group of this process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_without_a_group_and_in_a_group_of_one_there_are_not_several(alone):
    assert not several()
    dist.destroy_process_group()
    assert not several()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


def test_one_process_agrees_with_itself(alone):
    gradients, (one, none) = torch.tensor([1.0, 2.0]), (nn.Parameter(torch.zeros(2)) for _ in range(2))
    one.grad = torch.tensor([3.0, 4.0])
    flags, total = agree(gradients, [one, none], [True, False, True], 0, Witness(5.0))
    assert (flags, total) == ([True, False, True], 5.0)
    assert gradients.tolist() == [1.0, 2.0]
    assert one.grad.tolist() == [3.0, 4.0]
    assert none.grad is None


def test_parameters_that_are_nobodys_are_refused_with_their_number(alone):
    with pytest.raises(ValueError, match=r"`heads` must hold every parameter .*, found 2 left out over all processes"):
        agree(torch.zeros(1), [], [], 2, Witness())


def test_strays_are_counted_once_and_tensors_that_are_no_parameters_are_none():
    known, stray, second = (nn.Parameter(torch.ones(2)) for _ in range(3))
    inputs = torch.ones(2, requires_grad=True)
    losses = [(known * stray * inputs).sum(), (stray + second).sum()]
    assert strays(losses, [known]) == 2
    assert strays(losses[:1], [known, stray]) == 0
    assert strays([torch.tensor(1.0)], []) == 0
