"""DWA: weights of known epochs by hand, also where a task was away."""

import math

import numpy as np
import pytest

from gradsurgery.core.discovery import build
from tests.balancers.worked import balance, losses


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
