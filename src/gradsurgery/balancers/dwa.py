"""DWA: dynamic weight average."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gradsurgery.core.interfaces import Balancer, State


@dataclass(frozen=True)
class DWA(Balancer):
    """Gives more weight to the tasks whose loss fell more slowly over the last two epochs.

    Source: equation 7 of Liu et al., "End-to-End Multi-Task Learning with Attention", 2018, arXiv 1803.10704 (v2).

        L_k -> w_k L_k,  w = K softmax(r / temperature),  r_k = L_k(epoch - 1) / L_k(epoch - 2)

    with the mean training losses of whole epochs, and w = 1 in the first two. State: `last` and `before`, those losses.

    Args:
        temperature: large makes the weights equal; 2 in the paper.

    Departures: none known.
    """

    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < math.inf:
            raise ValueError(f"`temperature` must be positive, found temperature = {self.temperature}.")

    def parameters(self, num_tasks: int) -> dict[str, nn.Parameter]:
        return {}

    def __call__(
        self,
        losses: Sequence[Float[Tensor, ""]],
        parameters: Mapping[str, nn.Parameter],
        state: State | None,
        generator: np.random.Generator,
    ) -> tuple[list[Float[Tensor, ""]], State]:
        state = state or {}
        if "before" not in state:
            return list(losses), state
        ratios = state["last"] / state["before"] / self.temperature
        weights = np.exp(ratios - ratios.max())
        weights *= len(losses) / weights.sum()
        return [float(w) * loss for w, loss in zip(weights, losses, strict=True)], state

    def end_epoch(self, losses: Float64[np.ndarray, " K"], state: State | None) -> State:
        if not (losses > 0.0).all():
            raise ValueError(f"`dwa` needs positive training losses, found {losses.tolist()}.")
        kept = {"last": losses.copy()}
        return {**kept, "before": state["last"]} if state else kept
