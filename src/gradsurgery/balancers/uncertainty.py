"""UW: uncertainty weighting."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gradsurgery.core.interfaces import Balancer, Losses, Parameters, State


@dataclass(frozen=True)
class Uncertainty(Balancer):
    """Learns one log-variance per task together with the network, and divides the loss by the variance.

    Source: Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses", 2017, arXiv 1705.07115 (v3),
    section 3.2.

        L_k -> L_k / (2 exp(s_k)) + s_k / 2,  s_k trained

    Args:
        initial: where every s_k starts; 0 is a weight of 1/2.

    Departures:
        1. One form for all losses, as in the official MTAN and CAGrad code; the paper drops the 1/2 of the first term
           for classification.
    """

    initial: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.initial):
            raise ValueError(f"`initial` must be finite, found initial = {self.initial}.")

    def parameters(self, num_tasks: int) -> dict[str, nn.Parameter]:
        return {f"log_variance_{k}": nn.Parameter(torch.tensor(float(self.initial))) for k in range(num_tasks)}

    def __call__(
        self, losses: Losses, parameters: Parameters, state: State | None, generator: np.random.Generator
    ) -> tuple[Losses, State]:
        pairs = [(loss, parameters[f"log_variance_{k}"]) for k, loss in enumerate(losses)]
        return [None if loss is None else loss * (0.5 * torch.exp(-s)) + 0.5 * s for loss, s in pairs], {}
