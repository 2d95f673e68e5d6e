"""Equal weights: the losses as they are."""

from dataclasses import dataclass

import numpy as np

from gradsurgery.core.interfaces import Balancer, Losses, Parameters, State


@dataclass(frozen=True)
class Equal(Balancer):
    """Leaves every loss as it is: the neutral filler of the balancer slot.

    Source: the baseline called EW, LS or MTL in the papers.

        L_k -> L_k

    Departures: none known.
    """

    neutral = True

    def __call__(
        self, losses: Losses, parameters: Parameters, state: State | None, generator: np.random.Generator
    ) -> tuple[Losses, State]:
        return list(losses), {}
