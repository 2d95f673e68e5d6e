"""Single-task training: one loss, the others never seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gradsurgery.core.interfaces import Balancer, State


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

    def parameters(self, num_tasks: int) -> dict[str, nn.Parameter]:
        if self.task >= num_tasks:
            raise ValueError(f"`task` must be less than the number of tasks, {num_tasks}, found task = {self.task}.")
        return {}

    def __call__(
        self,
        losses: Sequence[Float[Tensor, ""] | None],
        parameters: Mapping[str, nn.Parameter],
        state: State | None,
        generator: np.random.Generator,
    ) -> tuple[list[Float[Tensor, ""] | None], State]:
        return [losses[self.task]], {}

    def end_epoch(self, losses: Float64[np.ndarray, " K"], state: State | None) -> State:
        return {}
