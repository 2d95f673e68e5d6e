"""A step that is left out leaves no gradient; a GradScaler is left to see that it was."""

import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build
from gradsurgery.integrations.micro_batches import differentiate


@pytest.fixture
def model():
    return nn.ParameterDict({"shared": torch.zeros(2), "head": torch.tensor(2.0)})


@pytest.fixture
def surgery(model):
    return GradientSurgery([model["shared"]], build("pcgrad"))


def _losses(model, factor=1.0):
    """Task gradients (2, 0) and (-2, 2) on what is shared: PCGrad's parts are (1, 1) and (0, 2)."""
    shared = model["shared"]
    return [factor * shared[0] * model["head"], factor * (2.0 * shared[1] - 2.0 * shared[0])]


def test_the_direction_comes_with_the_last_micro_batch(model, surgery):
    differentiate(surgery, _losses(model, 0.25), model.parameters(), last=False)
    assert surgery.weights is None
    differentiate(surgery, _losses(model, 0.75), model.parameters(), last=True)
    assert model["shared"].grad.tolist() == pytest.approx([1.0, 3.0])


def test_a_step_that_is_left_out_leaves_no_gradient(model, surgery):
    differentiate(surgery, _losses(model), model.parameters(), last=False)
    assert model["head"].grad is not None
    differentiate(surgery, _losses(model, torch.inf), model.parameters(), last=True)
    assert all(p.grad is None for p in model.parameters())
    assert surgery.skipped_steps == 1


def test_a_scaler_is_left_to_see_that_a_step_is_left_out(model, surgery):
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for factor, place in ((torch.inf, [0.0, 0.0]), (1.0, [-0.1, -0.3])):
        optimizer.zero_grad()
        losses = [scaler.scale(loss) for loss in _losses(model, factor)]
        differentiate(surgery, losses, model.parameters(), last=True, scaler=scaler)
        scaler.step(optimizer)
        scaler.update()
        assert model["shared"].tolist() == pytest.approx(place)
    assert scaler.get_scale() == 4.0
