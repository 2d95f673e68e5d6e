import torch

from gradsurgery.aggregators.mean import Mean
from tests.contracts import direction


def test_hand_worked():
    assert torch.equal(direction(Mean(), torch.tensor([[-4.0, 1, 1], [6, 1, 1]])), torch.tensor([1.0, 1, 1]))


def test_is_a_sum_divided_by_the_number_of_tasks():
    assert [Mean().scale(K) for K in (1, 2, 4)] == [1.0, 0.5, 0.25]
