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
    "growing_weights": {"limits": [0.4, 0.8, 1.0], "epochs": 4, "full": [2]},
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


class Without(np.random.Generator):
    """Draws for all tasks but one: what a generator gives that is asked for all of them."""

    def __init__(self, k):
        super().__init__(np.random.PCG64(3))
        self.k = k

    def standard_normal(self, n):
        return np.delete(super().standard_normal(n + 1), self.k)


def alone(name, k):
    """The same balancer for the other two tasks only."""
    fields = {
        "static": {"weights": list(np.delete([1.0, 2.0, 3.0], k))},
        "single_task": {"task": int(k == 2)},
        "growing_weights": {"limits": list(np.delete([0.4, 0.8, 1.0], k)), "epochs": 4, "full": [] if k == 2 else [1]},
    }
    return build("balancers", name, **fields.get(name, {}))


def history(balancer, number, kept):
    state = None
    for epoch in range(number):
        _, state = balancer([losses()[1][k] for k in kept], balancer.parameters(len(kept)), state, generator())
        means = np.array([3.0, 2.0, 1.0]) / (epoch + np.array([1.0, 2.0, 3.0]))
        state = balancer.end_epoch(means[kept], state)
    return state


@pytest.mark.parametrize("past", [0, 3])
@pytest.mark.parametrize("absent", [0, 1, 2])
def test_without_a_task_the_others_are_balanced_as_if_alone(name, absent, past):
    whole, others = BALANCERS[name], [k for k in range(3) if k != absent]
    theta, given = losses()
    parameters, state = whole.parameters(3), history(whole, past, [0, 1, 2])
    found, _ = whole([None if k == absent else given[k] for k in range(3)], parameters, state, generator(3))
    if name == "single_task" and absent == 1:
        assert found == [None]
        return
    rng = Without(absent) if name == "random_weights" else generator(3)
    part = alone(name, absent)
    same, few = losses()[1], part.parameters(2)
    wanted, _ = part([same[k] for k in others], few, history(part, past, others), rng)
    if name != "single_task":
        assert found.pop(absent) is None
    assert [loss.item() for loss in found] == [loss.item() for loss in wanted]
    trained = [theta, *parameters.values()]
    slopes = torch.autograd.grad(sum(found), trained, allow_unused=True)
    assert slopes[0][absent] == 0.0
    assert all((slope is None) == (k == absent) for k, slope in enumerate(slopes[1:]))  # None: Adam leaves it alone


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_an_absence_leaves_no_mark_on_what_comes_after(name, absent):
    balancer = BALANCERS[name]
    ends = []
    for gap in (True, False):
        state, rng, parameters = history(balancer, 2, [0, 1, 2]), generator(5), balancer.parameters(3)
        for call in range(3):
            given = [None if gap and (call, k) == (1, absent) else loss for k, loss in enumerate(losses(call)[1])]
            before = copy.deepcopy(state)
            found, after = balancer(given, parameters, state, rng)
            np.testing.assert_equal(state, before)  # what goes in is left as it was, so that a step can be undone
            state = after
        ends.append([loss.item() for loss in found])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("means", [[2.0, np.nan, 1.0], [np.nan, 2.0, np.inf], [np.nan] * 3])
def test_an_epoch_without_a_finite_loss_leaves_the_memory_finite(name, means):
    balancer, state = BALANCERS[name], None
    for told in ([1.0, 2.0, 3.0], means, means, [0.5, 1.0, 2.0]):
        state = balancer.end_epoch(np.array(told), state)
        assert all(np.isfinite(np.asarray(value)).all() for value in state.values())
        balanced, state = balancer(losses()[1], balancer.parameters(3), state, generator())
        assert all(torch.isfinite(loss) for loss in balanced)


def test_no_task_at_all(name):
    balancer = BALANCERS[name]
    for past in (0, 3):
        found, _ = balancer([None] * 3, balancer.parameters(3), history(balancer, past, [0, 1, 2]), generator())
        assert found == [None] * (1 if name == "single_task" else 3)
