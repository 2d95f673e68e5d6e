"""Weights that grow over the epochs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gradsurgery.core.interfaces import Losses, LossWeighting, State


@dataclass(frozen=True)
class GrowingWeights(LossWeighting):
    """Starts every task at nearly no weight and lets it grow by the same share per epoch, up to a limit of its own.

    Source: training of Shallow-Deep Networks, Kaya et al. 2019 (ICML), as Meta-GF's code (ECCV 2022) has it, where the
    limits of the inner exits are their shares of the whole work: 0.15, 0.3, 0.45, 0.6, 0.75, 0.9.

        L_k -> w_k L_k,  w_k = min(C_k, start + e C_k / epochs)  in epoch e = 0, 1, ...;  w_k = C_k for k in `full`

    State: `epoch`, the number of epochs that have ended.

    Args:
        limits: C_k, one per task.
        epochs: after how many epochs the limits are reached, however small `start` is.
        start: weight in the first epoch.
        full: numbers of the tasks that have their limit from the beginning, as the last exit has.

    Departures: none known.
    """

    limits: tuple[float, ...]
    epochs: int
    start: float = 0.01
    full: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.limits or not all(0.0 <= limit < math.inf for limit in self.limits):
            raise ValueError(f"`limits` must be non-negative numbers, found limits = {self.limits}.")
        if self.epochs < 1:
            raise ValueError(f"`epochs` must be at least 1, found epochs = {self.epochs}.")
        if not 0.0 <= self.start < math.inf:
            raise ValueError(f"`start` must be non-negative, found start = {self.start}.")
        if not all(0 <= k < len(self.limits) for k in self.full):
            raise ValueError(f"`full` must hold numbers of tasks below {len(self.limits)}, found full = {self.full}.")

    def check(self, num_tasks: int) -> None:
        if len(self.limits) != num_tasks:
            raise ValueError(f"`limits` must hold one number for each of {num_tasks} tasks, found {len(self.limits)}.")

    def weigh(self, losses: Losses, state: State, generator: np.random.Generator) -> tuple[Sequence[float], State]:
        state = state or {"epoch": 0}
        share = state["epoch"] / self.epochs
        weights = [c if k in self.full else min(c, self.start + share * c) for k, c in enumerate(self.limits)]
        return [w for w, loss in zip(weights, losses, strict=True) if loss is not None], state

    def end_epoch(self, losses: Float64[np.ndarray, " K"], state: State | None) -> State:
        return {"epoch": (state["epoch"] if state else 0) + 1}
