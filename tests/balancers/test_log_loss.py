"""The logarithm of a loss: scale does not matter, and what has no logarithm is refused."""

import math

import pytest
import torch

from gradsurgery.core.discovery import build
from tests.balancers.worked import balance, losses
from tests.contracts import generator


def test_log_loss_is_scale_invariant():
    grads = []
    for scale in (1.0, 1e-3, 1e5):
        theta = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        given = list((scale * theta**3).unbind())
        balanced, _ = build("balancers", "log_loss")(given, {}, None, generator())
        grads.append(torch.autograd.grad(sum(balanced), theta)[0].tolist())
    assert grads == [pytest.approx([3.0, 1.5])] * 3


def test_log_loss_refuses_what_has_no_logarithm():
    with pytest.raises(ValueError, match=r"positive losses, found \[1.0, 0.0\]"):
        balance(build("balancers", "log_loss"), losses(1.0, 0.0))
    assert math.isnan(balance(build("balancers", "log_loss"), losses(1.0, math.nan))[1])
