import torch

from gradsurgery.aggregators.sum import Sum
from tests.contracts import direction


def test_hand_worked():
    assert torch.equal(direction(Sum(), torch.tensor([[-4.0, 1, 1], [6, 1, 1]])), torch.tensor([2.0, 2, 2]))
