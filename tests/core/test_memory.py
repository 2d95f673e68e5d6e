"""What the engine hands to methods that remember more than J: parameter tensors, and tasks one by one."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from gradsurgery.core.direction import Conductor
from gradsurgery.core.interfaces import Aggregator
from gradsurgery.core.memory import PerTask, Tensorwise


@dataclass(frozen=True)
class Counts(Aggregator, PerTask):
    """Counts for every task the steps that it took part in."""

    def __call__(self, J, state, generator):
        return J.sum(dim=0), {"steps": (state["steps"] if state else np.zeros(len(J))) + 1}

    def recall(self, state, tasks, num_tasks):
        return {"steps": state["steps"][list(tasks)]}

    def remember(self, state, part, tasks, num_tasks):
        steps = state["steps"].copy() if state else np.zeros(num_tasks)
        steps[list(tasks)] = part["steps"]
        return {"steps": steps}


@dataclass(frozen=True)
class Told(Aggregator, Tensorwise):
    """Keeps in its state what it was told of the tensors."""

    wants: bool = True

    @property
    def tensorwise(self):
        return self.wants

    def __call__(self, J, state, generator):
        return J.sum(dim=0), {"told": state}


def _stepped(conductor, tasks, K, parameters=()):
    J = torch.ones(len(tasks), 3)
    assert conductor.direct(J, torch.empty(3), tasks, K, 1.0, False, None, parameters)


def test_the_memory_of_an_absent_task_waits():
    conductor = Conductor(Counts(), np.random.default_rng(0))
    for tasks in ([0, 2], [0, 1, 2], [1], [0, 1]):
        _stepped(conductor, tasks, 3)
    assert conductor.state["steps"].tolist() == [3.0, 3.0, 2.0]


def test_a_tensorwise_method_is_told_sizes_and_lengths_in_the_order_of_js_columns():
    conductor = Conductor(Told(), np.random.default_rng(0))
    _stepped(conductor, [0, 1], 2, [torch.tensor([3.0, 4.0]), torch.tensor([-2.0])])
    assert conductor.state["told"]["sizes"] == [2, 1]
    assert conductor.state["told"]["norms"].tolist() == [5.0, 2.0]


def test_an_instance_that_does_not_need_the_tensors_is_told_nothing():
    conductor = Conductor(Told(wants=False), np.random.default_rng(0))
    _stepped(conductor, [0, 1], 2, [torch.ones(3)])
    assert conductor.state == {"told": None}


def test_who_remembers_by_task_must_say_how_to_recall_and_how_to_go_on():
    class Half(Aggregator, PerTask):
        def __call__(self, J, state, generator):
            return J.sum(dim=0), {}

        def recall(self, state, tasks, num_tasks):
            return state

    with pytest.raises(TypeError, match=r"abstract method '?remember'?"):
        Half()
