"""RLW: random loss weighting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradsurgery.core.interfaces import Losses, LossWeighting, State


@dataclass(frozen=True)
class RandomWeights(LossWeighting):
    """Draws new loss weights at every step, the same distribution for every task.

    Source: Lin et al., "Reasonable Effectiveness of Random Weighting", 2021, arXiv 2111.10603.

        L_k -> K w_k L_k,  w = softmax(z), z ~ N(0, I)  or  w ~ Dirichlet(1, ..., 1)

    Args:
        distribution: "softmax" of standard normal numbers (the paper's default), or "dirichlet": uniform on the
            simplex, more extreme.

    Departures:
        1. The weights sum to K and not to 1, so that on average every loss keeps its scale and the learning rate means
           what it means for the sum.
        2. Without some of the tasks K is the number of those that are there. Their share of a draw for all tasks has
           the distribution of a draw for them alone.
    """

    distribution: Literal["softmax", "dirichlet"] = "softmax"

    def __post_init__(self) -> None:
        if self.distribution not in ("softmax", "dirichlet"):
            known = "'softmax' or 'dirichlet'"
            raise ValueError(f"`distribution` must be {known}, found distribution = {self.distribution!r}.")

    def weigh(self, losses: Losses, state: State, generator: np.random.Generator) -> tuple[Sequence[float], State]:
        # As many draws whoever is there, so that an absent task moves no later draw, and processes stay in step.
        softmax = self.distribution == "softmax"
        drawn = np.exp(generator.standard_normal(len(losses))) if softmax else generator.dirichlet(np.ones(len(losses)))
        weights = drawn[[loss is not None for loss in losses]]
        K = len(weights)
        if softmax or len(losses) > K:
            weights /= weights.sum()
        return (K * weights).tolist(), {}
