"""RLW: random loss weighting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gradsurgery.core.interfaces import Balancer, State


@dataclass(frozen=True)
class RandomWeights(Balancer):
    """Draws new loss weights at every step, the same distribution for every task.

    Source: Lin et al., "Reasonable Effectiveness of Random Weighting", 2021, arXiv 2111.10603.

        L_k -> K w_k L_k,  w = softmax(z), z ~ N(0, I)  or  w ~ Dirichlet(1, ..., 1)

    Args:
        distribution: "softmax" of standard normal numbers (the paper's default), or "dirichlet": uniform on the
            simplex, more extreme.

    Departures:
        1. The weights sum to K and not to 1, so that on average every loss keeps its scale and the learning rate means
           what it means for the sum.
    """

    distribution: Literal["softmax", "dirichlet"] = "softmax"

    def __post_init__(self) -> None:
        if self.distribution not in ("softmax", "dirichlet"):
            known = "'softmax' or 'dirichlet'"
            raise ValueError(f"`distribution` must be {known}, found distribution = {self.distribution!r}.")

    def parameters(self, num_tasks: int) -> dict[str, nn.Parameter]:
        return {}

    def __call__(
        self,
        losses: Sequence[Float[Tensor, ""]],
        parameters: Mapping[str, nn.Parameter],
        state: State | None,
        generator: np.random.Generator,
    ) -> tuple[list[Float[Tensor, ""]], State]:
        K = len(losses)
        if self.distribution == "softmax":
            weights = np.exp(generator.standard_normal(K))
            weights /= weights.sum()
        else:
            weights = generator.dirichlet(np.ones(K))
        return [float(K * w) * loss for w, loss in zip(weights, losses, strict=True)], {}

    def end_epoch(self, losses: Float64[np.ndarray, " K"], state: State | None) -> State:
        return {}
