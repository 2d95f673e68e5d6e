"""Each balancer against a value worked by hand. They are too small for a file each."""

import math
import re

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from tests.contracts import generator


def losses(*values):
    return [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]


def balance(balancer, given, state=None, rng=None):
    balanced, _ = balancer(given, balancer.parameters(len(given)), state, rng or generator())
    return [loss.item() for loss in balanced]


def test_equal():
    given = losses(1.0, 2.0)
    balanced, state = build("balancers", "equal")(given, {}, None, generator())
    assert all(a is b for a, b in zip(balanced, given, strict=True))
    assert state == {}


@pytest.mark.parametrize("weights", [[1.0, 3.0], [0.25, 0.75], [100.0, 300.0]])
def test_static_keeps_ratios_only(weights):
    assert balance(build("balancers", "static", weights=weights), losses(1.0, 2.0)) == pytest.approx([0.5, 3.0])


def test_static_equal_weights_are_equal():
    assert balance(build("balancers", "static", weights=[5.0, 5.0]), losses(1.0, 2.0)) == pytest.approx([1.0, 2.0])
    assert balance(build("balancers", "static", weights=[0.0, 5.0]), losses(1.0, 2.0)) == pytest.approx([0.0, 4.0])


@pytest.mark.parametrize("distribution", ["softmax", "dirichlet"])
def test_random_weights_keep_the_scale_of_the_sum(distribution):
    balancer, rng = build("balancers", "random_weights", distribution=distribution), generator()
    drawn = np.array([balance(balancer, losses(1.0, 1.0, 1.0), rng=rng) for _ in range(2000)])
    assert drawn.sum(axis=1) == pytest.approx(np.full(2000, 3.0))
    assert drawn.mean(axis=0) == pytest.approx([1, 1, 1], abs=0.06)
    assert drawn.min() > 0
    if distribution == "dirichlet":  # variance of one weight of three: 3^2 * (2 / 9) / 4
        assert drawn.var(axis=0) == pytest.approx([0.5, 0.5, 0.5], abs=0.06)


@pytest.mark.parametrize("distribution", ["softmax", "dirichlet"])
def test_random_weights_of_some_tasks_are_shares_of_a_draw_for_all(distribution):
    """As many draws whoever is there: an absent task moves no later draw."""
    balancer, some, every = build("balancers", "random_weights", distribution=distribution), generator(), generator()
    drawn = []
    for _ in range(1000):
        one, none, two = balancer([losses(1.0)[0], None, losses(1.0)[0]], {}, None, some)[0]
        whole = balance(balancer, losses(1.0, 1.0, 1.0), rng=every)
        assert none is None
        assert [one.item(), two.item()] == pytest.approx([2 * whole[k] / (whole[0] + whole[2]) for k in (0, 2)])
        drawn.append(one.item())
    assert some.bit_generator.state == every.bit_generator.state
    if distribution == "dirichlet":  # that of two tasks alone: uniform between 0 and 2
        assert np.var(drawn) == pytest.approx(1 / 3, abs=0.04)


def test_static_weights_of_tasks_that_count_for_nothing():
    balancer, given = build("balancers", "static", weights=[1.0, 0.0]), losses(1.0, 2.0)
    found, _ = balancer([None, given[1]], {}, None, generator())
    assert (found[0], found[1].item()) == (None, 0.0)


def test_random_weights_softmax_by_hand():
    z = np.exp(generator(7).standard_normal(2))
    found = balance(build("balancers", "random_weights"), losses(1.0, 1.0), rng=generator(7))
    assert found == pytest.approx(2 * z / z.sum())


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


def test_dwa_by_hand():
    balancer = build("balancers", "dwa")
    first = balancer.end_epoch(np.array([2.0, 4.0]), None)
    assert balance(balancer, losses(1.0, 1.0), None) == [1.0, 1.0]
    assert balance(balancer, losses(1.0, 1.0), first) == [1.0, 1.0]
    second = balancer.end_epoch(np.array([1.0, 4.0]), first)
    slow, fast = math.exp(1.0 / 2), math.exp(0.5 / 2)
    expected = [2 * fast / (slow + fast), 2 * slow / (slow + fast)]
    assert balance(balancer, losses(1.0, 1.0), second) == pytest.approx(expected)
    third = balancer.end_epoch(np.array([0.5, 2.0]), second)
    assert balance(balancer, losses(1.0, 3.0), third) == pytest.approx([1.0, 3.0])


def test_dwa_remembers_the_last_two_epochs_that_a_task_had():
    """Task 1 fell from 4 to 1, was absent for two epochs, and its ratio is still 1 / 4; task 2 came later."""
    balancer, state = build("balancers", "dwa"), None
    for means in ([2.0, 4.0, math.nan], [2.0, 1.0, math.nan], [2.0, math.nan, 5.0], [1.0, math.nan, 5.0]):
        state = balancer.end_epoch(np.array(means), state)
    assert (state["last"].tolist(), state["before"].tolist()) == ([1.0, 1.0, 5.0], [2.0, 4.0, 5.0])
    e = [math.exp(0.5 / 2), math.exp(0.25 / 2), math.exp(1.0 / 2)]
    assert balance(balancer, losses(1.0, 1.0, 1.0), state) == pytest.approx([3 * x / sum(e) for x in e])


def test_dwa_weighs_a_task_without_a_past_as_one_that_stands_still():
    balancer, state = build("balancers", "dwa"), None
    for means in ([2.0, math.nan], [1.0, math.nan], [0.5, 3.0]):
        state = balancer.end_epoch(np.array(means), state)
    slow, fast = math.exp(1.0 / 2), math.exp(0.5 / 2)
    expected = [2 * fast / (slow + fast), 2 * slow / (slow + fast)]
    assert balance(balancer, losses(1.0, 1.0), state) == pytest.approx(expected)


def test_dwa_refuses_losses_without_a_ratio():
    with pytest.raises(ValueError, match=r"positive training losses, found \[1.0, -2.0\]"):
        build("balancers", "dwa").end_epoch(np.array([1.0, -2.0]), None)


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


def test_single_task():
    assert balance(build("balancers", "single_task", task=1), losses(1.0, 2.0, 3.0)) == [2.0]


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("static", {"weights": [1.0, -1.0]}, r"`weights` must be non-negative"),
        ("static", {"weights": [0.0, 0.0]}, "at least one above 0"),
        ("static", {}, "`static.weights` must be given"),
        ("random_weights", {"distribution": "uniform"}, "`random_weights.distribution`"),
        ("dwa", {"temperature": 0.0}, r"`temperature` must be positive, found temperature = 0.0"),
        ("single_task", {"task": -1}, "`task` must be non-negative, found task = -1"),
        ("single_task", {"task": True}, "`single_task.task` must be a whole number"),
    ],
)
def test_refuses(name, fields, message):
    with pytest.raises(ValueError, match=message):
        build("balancers", name, **fields)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("static", {"weights": [1.0, 1.0]}, "one entry for each of 3 tasks"),
        ("single_task", {"task": 3}, "less than the number of tasks, 3, found task = 3"),
    ],
)
def test_refuses_another_number_of_tasks(name, fields, message):
    with pytest.raises(ValueError, match=message):
        build("balancers", name, **fields).check(3)


def test_ramp_by_hand():
    balancer, state, seen = build("balancers", "growing_weights", limits=[0.4, 0.8, 1.0], epochs=4, full=[2]), None, []
    for _ in range(6):
        seen.append(balance(balancer, losses(1.0, 1.0, 2.0), state))
        state = balancer.end_epoch(np.ones(3), state)
    expected = [[0.01 + e * 0.1, 0.01 + e * 0.2, 2.0] for e in range(4)] + [[0.4, 0.8, 2.0]] * 2
    assert np.array(seen) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"limits": []}, "`limits` must be non-negative numbers, found limits = ()"),
        ({"limits": [-0.1]}, "`limits` must be non-negative numbers"),
        ({"epochs": 0}, "`epochs` must be at least 1, found epochs = 0"),
        ({"start": -1.0}, "`start` must be non-negative, found start = -1.0"),
        ({"full": [3]}, "`full` must hold numbers of tasks below 3, found full = (3,)"),
    ],
)
def test_ramp_refuses(fields, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build("balancers", "growing_weights", **{"limits": [0.4, 0.8, 1.0], "epochs": 4, **fields})


def test_ramp_refuses_another_number_of_tasks():
    with pytest.raises(ValueError, match="`limits` must hold one number for each of 2 tasks, found 3"):
        build("balancers", "growing_weights", limits=[0.4, 0.8, 1.0], epochs=4).check(2)
