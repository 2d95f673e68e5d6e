"""Uncertainty weighting: values and slopes by hand, and where the variances settle."""

import math

import pytest
import torch

from gradsurgery.balancers.uncertainty import Uncertainty
from gradsurgery.core.discovery import build
from tests.balancers.worked import losses
from tests.contracts import generator


def test_uncertainty_by_hand():
    balancer, given = build("balancers", "uncertainty", initial=math.log(2.0)), losses(3.0, 5.0)
    parameters = balancer.parameters(2)
    balanced, _ = balancer(given, parameters, None, generator())
    assert [b.item() for b in balanced] == pytest.approx([3 / 4 + math.log(2) / 2, 5 / 4 + math.log(2) / 2])
    slopes = torch.autograd.grad(sum(balanced), list(parameters.values()))
    assert [slope.item() for slope in slopes] == pytest.approx([-3 / 4 + 0.5, -5 / 4 + 0.5])


def test_uncertainty_settles_where_the_variance_is_the_loss():
    balancer = build("balancers", "uncertainty")
    parameters = balancer.parameters(2)
    optimizer = torch.optim.SGD(parameters.values(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        sum(balancer(losses(0.5, 4.0), parameters, None, generator())[0]).backward()
        optimizer.step()
    assert [s.exp().item() for s in parameters.values()] == pytest.approx([0.5, 4.0], rel=1e-4)


@pytest.mark.parametrize("initial", [math.inf, math.nan])
def test_a_start_that_is_no_number_is_refused(initial):
    with pytest.raises(ValueError, match=f"`initial` must be finite, found initial = {initial}"):
        Uncertainty(initial)
