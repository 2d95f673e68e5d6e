"""Backward with an accelerator's settings; the accelerator is a record of them, as the package is optional."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build
from gradsurgery.integrations.accelerate import backward


class Pair(nn.Module):
    """One shared vector, and one number of the first task's own."""

    def __init__(self):
        super().__init__()
        self.shared, self.own = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor(3.0))

    def losses(self):
        return {"a": self.shared[0] * self.own, "b": (self.shared * torch.tensor([-3.0, 3.0])).sum()}


@pytest.fixture
def model():
    return Pair()


@pytest.fixture
def surgery(model):
    return GradientSurgery([model.shared], build("pcgrad"))


def _settings(count=1, due=True, scaler=None):
    return SimpleNamespace(scaler=scaler, gradient_accumulation_steps=count, sync_gradients=due)


def test_gradients_of_micro_batches_are_averaged_and_the_direction_comes_with_the_last(model, surgery):
    """Task gradients (3, 0) and (-3, 3): PCGrad's parts are (1.5, 1.5) and (0, 3)."""
    backward(_settings(2, due=False), surgery, model.losses(), model)
    backward(_settings(2), surgery, model.losses(), model)
    assert model.shared.grad.tolist() == pytest.approx([1.5, 4.5])
    assert model.own.grad.item() == pytest.approx(1.0)


def test_an_absent_task_may_be_none(model, surgery):
    backward(_settings(), surgery, [None, model.losses()["b"]], model)
    assert model.shared.grad.tolist() == pytest.approx([-3.0, 3.0])
    assert model.own.grad is None


def test_losses_are_scaled_and_gradients_stay_so_for_the_scaler(model, surgery):
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    backward(_settings(scaler=scaler), surgery, list(model.losses().values()), model)
    assert model.shared.grad.tolist() == pytest.approx([8 * 1.5, 8 * 4.5])
    assert model.own.grad.item() == pytest.approx(8.0)


def test_a_step_that_is_not_finite_leaves_no_gradient(model, surgery):
    backward(_settings(), surgery, {name: loss * torch.inf for name, loss in model.losses().items()}, model)
    assert (model.shared.grad, model.own.grad) == (None, None)
