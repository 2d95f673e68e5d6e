"""Static weights: one constant per task."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradsurgery.core.interfaces import Losses, LossWeighting, State


@dataclass(frozen=True)
class Static(LossWeighting):
    """Multiplies each loss by a constant of its own, the same throughout training.

    Source: linear scalarisation with tuned weights, the baseline that Xin et al. (2022, arXiv 2209.11379) and Kurin et
    al. (2022, arXiv 2201.04122) ask for.

        L_k -> K w_k / (sum_j w_j) L_k,  over the K tasks that are there

    Args:
        weights: one per task; only their ratios matter. They are scaled to sum to K, so that equal weights are the
            `equal` balancer and a front over ratios does not move the learning rate of the sum.

    Departures: none known.
    """

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not all(w >= 0.0 for w in self.weights) or not 0.0 < sum(self.weights) < math.inf:
            raise ValueError(
                f"`weights` must be non-negative with at least one above 0, found weights = {self.weights}."
            )

    def check(self, num_tasks: int) -> None:
        if num_tasks != len(self.weights):
            raise ValueError(f"`weights` must have one entry for each of {num_tasks} tasks, found {self.weights}.")

    def weigh(self, losses: Losses, state: State, generator: np.random.Generator) -> tuple[Sequence[float], State]:
        present = [w for w, loss in zip(self.weights, losses, strict=True) if loss is not None]
        unit = len(present) / (sum(present) or 1.0)  # all that are there may have weight 0
        return [unit * w for w in present], {}
