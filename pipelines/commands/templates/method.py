"""Sketch: task gradients of one length."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gradsurgery.core.interfaces import State, Weighting


@dataclass(frozen=True)
class Sketch(Weighting):
    """Brings the task gradients to their mean length, in part or wholly, and sums them.

    Source: none, a beginning of your own. Algorithm or equation, authors, "title", year, arXiv id belong here.

        d = sum_k (L / |g_k|)^strength g_k,  L = mean_j |g_j|

    A task without a gradient has weight 0 and counts in no mean.

    Args:
        strength: 0 is the sum, 1 makes all lengths equal.

    Departures: none known.
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.strength <= 1.0:
            raise ValueError(f"`strength` must be between 0 and 1, found strength = {self.strength}.")

    def __call__(
        self, G: Float64[np.ndarray, "K K"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float64[np.ndarray, " K"], State]:
        lengths = np.sqrt(np.diag(G))
        there = lengths > 0.0
        w = np.zeros(len(G))
        w[there] = (lengths[there].mean() / lengths[there]) ** self.strength if there.any() else 0.0
        return w, {}
