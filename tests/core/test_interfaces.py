"""What the contracts do by themselves: weights of finite products only, losses that are away, and their defaults."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from gradsurgery.core.finite import NotFinite
from gradsurgery.core.interfaces import LossWeighting, Scalarization, Weighting


@dataclass(frozen=True)
class Ones(Weighting):
    def __call__(self, G, state, generator):
        return np.ones(len(G)), {}


@dataclass(frozen=True)
class Numbered(LossWeighting):
    """The n-th loss that is there counts n times."""

    def weigh(self, losses, state, generator):
        return range(1, 1 + sum(loss is not None for loss in losses)), {**state, "seen": True}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weighting_is_never_handed_products_that_are_not_finite(bad):
    rng = np.random.default_rng(0)
    assert Ones()(np.eye(2), None, rng)[0].tolist() == [1.0, 1.0]
    with pytest.raises(NotFinite):
        Ones()(np.array([[1.0, bad], [bad, 1.0]]), None, rng)


def test_a_loss_weighting_leaves_absent_tasks_where_they_are():
    losses = [torch.tensor(5.0), None, torch.tensor(7.0)]
    found, state = Numbered()(losses, {}, None, np.random.default_rng(0))
    assert found[1] is None
    assert [found[0].item(), found[2].item()] == [5.0, 14.0]
    assert state == {"seen": True}


def test_a_balancer_by_default_answers_for_all_tasks_trains_nothing_and_keeps_its_state():
    balancer = Numbered()
    balancer.check(7)
    assert list(balancer.trained(3)) == [0, 1, 2]
    assert balancer.parameters(3) == {}
    assert balancer.end_epoch(np.ones(3), {"kept": 1}) == {"kept": 1}
    assert balancer.end_epoch(np.ones(3), None) == {}
    assert not balancer.neutral


def test_a_method_without_its_one_function_cannot_be_made():
    class Empty(Scalarization):
        pass

    with pytest.raises(TypeError, match=r"abstract method '?scale'?"):
        Empty()
