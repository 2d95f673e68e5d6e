"""From J to the direction: by hand for weights, with tasks away, and what is left where a number is not finite."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from gradsurgery.aggregators.mean import Mean
from gradsurgery.core.direction import Conductor
from gradsurgery.core.interfaces import Aggregator, Weighting

J = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)


@dataclass(frozen=True)
class Difference(Weighting):
    """Twice the first task minus the second; counts its calls."""

    def __call__(self, G, state, generator):
        return np.array([2.0, -1.0]), {"calls": (state or {"calls": 0})["calls"] + 1}


@dataclass(frozen=True)
class Squares(Aggregator):
    """The sum of squares, of a state that is written into in place."""

    def __call__(self, J, state, generator):
        state = state or {"lengths": []}
        state["lengths"].append(float(J.norm()))
        return J.square().sum(dim=0), state


def _directed(conductor, J, tasks=(0, 1), K=2, scale=1.0, diagnose=False, beside=None):
    d = torch.zeros(J.shape[1], dtype=J.dtype)
    return conductor.direct(J, d, list(tasks), K, scale, diagnose, beside, ()), d.tolist()


def test_weights_and_scale_by_hand():
    conductor = Conductor(Difference(), np.random.default_rng(0))
    assert _directed(conductor, J, scale=0.5) == (True, [1.0, -1.5])  # (2 (1, 0) - (0, 3)) / 2
    assert conductor.gram.tolist() == [[1.0, 0.0], [0.0, 9.0]]
    assert conductor.weights.tolist() == [2.0, -1.0]


def test_an_absent_task_keeps_its_row_of_zeros():
    conductor = Conductor(Difference(), np.random.default_rng(0))
    assert _directed(conductor, J, tasks=(0, 2), K=3) == (True, [2.0, -3.0])
    assert conductor.weights.tolist() == [2.0, 0.0, -1.0]
    assert conductor.gram.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 9.0]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e200], ids=["nan", "inf", "G overflows"])
def test_a_step_that_is_not_finite_is_left_out_and_state_stays(bad):
    conductor = Conductor(Difference(), np.random.default_rng(0))
    _directed(conductor, J)
    assert not _directed(conductor, J * bad)[0]
    assert conductor.state == {"calls": 1}


def test_a_number_beside_j_that_is_not_finite_leaves_the_step_out_too():
    conductor = Conductor(Difference(), np.random.default_rng(0))
    assert not _directed(conductor, J, beside=torch.tensor(torch.nan))[0]
    assert conductor.state is None


def test_what_a_method_wrote_into_its_state_is_undone_where_its_direction_overflows():
    conductor = Conductor(Squares(), np.random.default_rng(0))
    assert _directed(conductor, J) == (True, [1.0, 9.0])
    assert not _directed(conductor, 1e170 * J)[0]  # finite, but its squares are not
    assert len(conductor.state["lengths"]) == 1


def test_a_diagnosed_aggregator_tells_its_gains():
    conductor = Conductor(Squares(), np.random.default_rng(0))
    _directed(conductor, J, diagnose=True)
    products, length = conductor.gains
    assert products.tolist() == [1.0, 27.0]
    assert length == pytest.approx(82**0.5)


def test_a_scaled_sum_counts_the_tasks_that_are_there():
    conductor, d = Conductor(Mean(), np.random.default_rng(0)), torch.tensor([4.0, 6.0])
    assert conductor.scale_sum(d, [0, 2], 3, None)
    assert d.tolist() == [2.0, 3.0]
    assert conductor.weights.tolist() == [0.5, 0.0, 0.5]
    assert not conductor.scale_sum(torch.tensor([torch.nan, 0.0]), [0, 2], 3, None)
