"""Batches on their device, the length of gradients, and means over what is there."""

import pytest
import torch
from torch import nn

from gradsurgery.core.batch import check_every_task, gradient_norm, mean_losses, move

A, B, C = torch.tensor([1.0, 2.0, 4.0]).unbind()


def test_a_batch_moves_with_all_that_is_in_it():
    batch = (torch.ones(2), {"a": [torch.zeros(1)]}, "name")
    moved = move(batch, torch.device("meta"))
    assert moved[0].device.type == moved[1]["a"][0].device.type == "meta"
    assert type(moved[1]["a"]) is list
    assert moved[2] == "name"


def test_the_norm_is_of_those_that_have_a_gradient():
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    parameters[0].grad, parameters[2].grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert gradient_norm(parameters).item() == 5.0
    assert gradient_norm([]).item() == 0.0


@pytest.mark.parametrize(
    ("seen", "means"),
    [
        ([[A, B]], {"train.x.loss": 1.0, "train.y.loss": 2.0}),
        ([[A, B], [C, C]], {"train.x.loss": 2.5, "train.y.loss": 3.0}),
        ([[A, None], [C, B]], {"train.x.loss": 2.5, "train.y.loss": 2.0}),
        ([[None, B], [None, C]], {"train.y.loss": 3.0}),
        ([[None, None]], {}),
    ],
)
def test_losses_are_averaged_over_the_micro_batches_that_have_them(seen, means):
    assert mean_losses(["x", "y"], seen) == (means, 0.0)
    assert mean_losses(["x", "y"], seen, torch.tensor(0.5)) == (means, 0.5)


def test_a_batch_without_a_task_can_be_refused():
    check_every_task("rule", ["x", "y"], [A, B])
    with pytest.raises(
        ValueError, match=r"`rule` must have a loss of each of the tasks x, y in every batch, found 1 of 2"
    ):
        check_every_task("rule", ["x", "y"], [None, B])
