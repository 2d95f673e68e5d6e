"""Single-task training: one loss, the others never seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradsurgery.core.interfaces import Balancer, Losses, Parameters, State


@dataclass(frozen=True)
class SingleTask(Balancer):
    """Keeps one task's loss and drops the others, so that K = 1 from here on.

    Source: the baseline STL of the papers, the reference of every Delta-m.

        (L_1, ..., L_K) -> (L_task,)

    Args:
        task: index of the task that is trained, from 0.

    Departures:
        1. The network keeps the heads of the other tasks, untrained; their metrics mean nothing.
    """

    task: int

    def __post_init__(self) -> None:
        if self.task < 0:
            raise ValueError(f"`task` must be non-negative, found task = {self.task}.")

    def check(self, num_tasks: int) -> None:
        if self.task >= num_tasks:
            raise ValueError(f"`task` must be less than the number of tasks, {num_tasks}, found task = {self.task}.")

    def trained(self, num_tasks: int) -> Sequence[int]:
        return (self.task,)

    def __call__(
        self, losses: Losses, parameters: Parameters, state: State | None, generator: np.random.Generator
    ) -> tuple[Losses, State]:
        return [losses[self.task]], {}
