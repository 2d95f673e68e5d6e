"""DWA: dynamic weight average."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gradsurgery.core.interfaces import Losses, LossWeighting, State


@dataclass(frozen=True)
class DWA(LossWeighting):
    """Gives more weight to the tasks whose loss fell more slowly over the last two epochs.

    Source: equation 7 of Liu et al., "End-to-End Multi-Task Learning with Attention", 2018, arXiv 1803.10704 (v2).

        L_k -> w_k L_k,  w = K softmax(r / temperature),  r_k = L_k(epoch - 1) / L_k(epoch - 2)

    over the K tasks that are there, with the mean training losses of whole epochs, and r_k = 1 until there are two of
    them. State: `last` and `before`, those losses, which are those of the last two epochs that task k had; 0: none yet.

    Args:
        temperature: large makes the weights equal; 2 in the paper.

    Departures: none known.
    """

    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < math.inf:
            raise ValueError(f"`temperature` must be positive, found temperature = {self.temperature}.")

    def weigh(self, losses: Losses, state: State, generator: np.random.Generator) -> tuple[Sequence[float], State]:
        present = [loss is not None for loss in losses]
        if not state or not state["before"].any() or not any(present):
            return [1.0] * sum(present), state
        last, before = state["last"][present], state["before"][present]
        ratios = np.divide(last, before, out=np.ones_like(last), where=before > 0.0) / self.temperature
        weights = np.exp(ratios - ratios.max())
        weights *= len(weights) / weights.sum()
        return weights.tolist(), state

    def end_epoch(self, losses: Float64[np.ndarray, " K"], state: State | None) -> State:
        if (losses <= 0.0).any():
            raise ValueError(f"`dwa` needs positive training losses, found {losses.tolist()}.")
        told = np.isfinite(losses)
        none = np.zeros_like(losses)
        last, before = (state["last"], state["before"]) if state else (none, none)
        return {"last": np.where(told, losses, last), "before": np.where(told, last, before)}
