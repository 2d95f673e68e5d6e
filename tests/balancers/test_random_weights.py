"""Random weights: their scale, their variance, and what absent tasks do to a draw."""

import numpy as np
import pytest

from gradsurgery.core.discovery import build
from tests.balancers.worked import balance, losses
from tests.contracts import generator


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


def test_random_weights_softmax_by_hand():
    z = np.exp(generator(7).standard_normal(2))
    found = balance(build("balancers", "random_weights"), losses(1.0, 1.0), rng=generator(7))
    assert found == pytest.approx(2 * z / z.sum())
