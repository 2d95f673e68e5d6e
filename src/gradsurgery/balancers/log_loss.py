"""SI: scale-invariant loss, the logarithm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gradsurgery.core.interfaces import Balancer, State


@dataclass(frozen=True)
class LogLoss(Balancer):
    """Takes the logarithm of every loss, so that multiplying a loss by a constant changes nothing.

    Source: the baseline SI of Navon et al., "Multi-Task Learning as a Bargaining Game", 2022, arXiv 2202.01017.

        L_k -> log L_k,  whose gradient is grad L_k / L_k

    Departures: none known.
    """

    def parameters(self, num_tasks: int) -> dict[str, nn.Parameter]:
        return {}

    def __call__(
        self,
        losses: Sequence[Float[Tensor, ""] | None],
        parameters: Mapping[str, nn.Parameter],
        state: State | None,
        generator: np.random.Generator,
    ) -> tuple[list[Float[Tensor, ""] | None], State]:
        present = [loss.detach() for loss in losses if loss is not None]
        values = torch.stack(present).tolist() if present else []  # all at once: one wait for the device
        if any(value <= 0.0 for value in values):  # NaN passes: a non-finite step is skipped and counted further down
            raise ValueError(f"`log_loss` needs positive losses, found {values}.")
        return [None if loss is None else loss.log() for loss in losses], {}

    def end_epoch(self, losses: Float64[np.ndarray, " K"], state: State | None) -> State:
        return {}
