"""What every balancer promises, run on every one that is found."""

import copy

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import available, build
from tests.contracts import generator

REQUIRED = {
    "static": {"weights": [1.0, 2.0, 3.0]},
    "single_task": {"task": 1},
    "ramp": {"limits": [0.4, 0.8, 1.0], "epochs": 4, "full": [2]},
}
BALANCERS = {name: build("balancers", name, **REQUIRED.get(name, {})) for name in available("balancers")}
pytestmark = pytest.mark.parametrize("name", BALANCERS)


def losses(seed=0):
    theta = torch.tensor(generator(seed).uniform(0.5, 2.0, 3), requires_grad=True)
    return theta, list(theta.square().unbind())


def epochs(balancer, number):
    state = None
    for epoch in range(number):
        _, state = balancer(losses()[1], balancer.parameters(3), state, generator())
        state = balancer.end_epoch(np.array([3.0, 2.0, 1.0]) / (epoch + np.array([1.0, 2.0, 3.0])), state)
    return state


@pytest.mark.parametrize("past", [0, 1, 3])
def test_losses_stay_differentiable_scalars(name, past):
    balancer = BALANCERS[name]
    theta, given = losses()
    parameters = balancer.parameters(3)
    balanced, _ = balancer(given, parameters, epochs(balancer, past), generator())
    assert len(balanced) == (1 if name == "single_task" else 3)
    assert all(loss.shape == () and torch.isfinite(loss) for loss in balanced)
    trained = [theta, *parameters.values()]
    for grad in torch.autograd.grad(sum(balanced), trained):
        assert torch.isfinite(grad).all()


def test_repeatable(name):
    balancer, before = BALANCERS[name], torch.get_rng_state()
    parameters = balancer.parameters(3)
    runs = [balancer(losses()[1], parameters, epochs(balancer, 2), generator(4))[0] for _ in range(2)]
    assert torch.equal(torch.stack(runs[0]), torch.stack(runs[1]))
    assert torch.equal(torch.get_rng_state(), before)


def test_state_survives_a_copy(name):
    balancer = BALANCERS[name]
    state = epochs(balancer, 3)
    kept = copy.deepcopy(state)
    parameters = balancer.parameters(3)
    straight = balancer(losses()[1], parameters, state, generator())[0]
    assert torch.equal(torch.stack(straight), torch.stack(balancer(losses()[1], parameters, kept, generator())[0]))


def test_one_task(name):
    if name in REQUIRED:
        pytest.skip("made for the number of tasks it names")
    balancer = BALANCERS[name]
    theta = torch.tensor(1.5, requires_grad=True)
    balanced, _ = balancer([theta.square()], balancer.parameters(1), None, generator())
    assert torch.autograd.grad(balanced[0], theta)[0] > 0


def test_docstring_has_the_house_parts(name):
    text = type(BALANCERS[name]).__doc__
    assert text.splitlines()[0].endswith(".")
    assert "Source: " in text
    assert "Departures:" in text
