"""SI: scale-invariant loss, the logarithm."""

from dataclasses import dataclass

import numpy as np
import torch

from gradsurgery.core.interfaces import Balancer, Losses, Parameters, State


@dataclass(frozen=True)
class LogLoss(Balancer):
    """Takes the logarithm of every loss, so that multiplying a loss by a constant changes nothing.

    Source: the baseline SI of Navon et al., "Multi-Task Learning as a Bargaining Game", 2022, arXiv 2202.01017.

        L_k -> log L_k,  whose gradient is grad L_k / L_k

    Departures: none known.
    """

    def __call__(
        self, losses: Losses, parameters: Parameters, state: State | None, generator: np.random.Generator
    ) -> tuple[Losses, State]:
        present = [loss.detach() for loss in losses if loss is not None]
        values = torch.stack(present).tolist() if present else []  # all at once: one wait for the device
        if any(value <= 0.0 for value in values):  # NaN passes: a non-finite step is skipped and counted further down
            raise ValueError(f"`log_loss` needs positive losses, found {values}.")
        return [None if loss is None else loss.log() for loss in losses], {}
