"""Static weights: only their ratios count, also among the tasks that are there."""

import pytest

from gradsurgery.core.discovery import build
from tests.balancers.worked import balance, losses
from tests.contracts import generator


@pytest.mark.parametrize("weights", [[1.0, 3.0], [0.25, 0.75], [100.0, 300.0]])
def test_static_keeps_ratios_only(weights):
    assert balance(build("balancers", "static", weights=weights), losses(1.0, 2.0)) == pytest.approx([0.5, 3.0])


def test_static_equal_weights_are_equal():
    assert balance(build("balancers", "static", weights=[5.0, 5.0]), losses(1.0, 2.0)) == pytest.approx([1.0, 2.0])
    assert balance(build("balancers", "static", weights=[0.0, 5.0]), losses(1.0, 2.0)) == pytest.approx([0.0, 4.0])


def test_static_weights_of_tasks_that_count_for_nothing():
    balancer, given = build("balancers", "static", weights=[1.0, 0.0]), losses(1.0, 2.0)
    found, _ = balancer([None, given[1]], {}, None, generator())
    assert (found[0], found[1].item()) == (None, 0.0)


def test_ratios_are_kept_among_the_tasks_that_are_there():
    """1 and 4 of 1, 3, 4 for two tasks: 2 * 1/5 and 2 * 4/5, times the losses 1 and 5."""
    one, three = losses(1.0, 5.0)
    found, _ = build("balancers", "static", weights=[1.0, 3.0, 4.0])([one, None, three], {}, None, generator())
    assert found[1] is None
    assert [found[0].item(), found[2].item()] == pytest.approx([0.4, 8.0])
