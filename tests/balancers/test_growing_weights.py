"""Weights that grow with the epochs: by hand up to their limits, and what is refused."""

import re

import numpy as np
import pytest

from gradsurgery.core.discovery import build
from tests.balancers.worked import balance, losses


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
