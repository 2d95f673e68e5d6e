"""Equal weights: the losses as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gradsurgery.core.interfaces import Balancer, State


@dataclass(frozen=True)
class Equal(Balancer):
    """Leaves every loss as it is: the neutral filler of the balancer slot.

    Source: the baseline called EW, LS or MTL in the papers.

        L_k -> L_k

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
        return list(losses), {}

    def end_epoch(self, losses: Float64[np.ndarray, " K"], state: State | None) -> State:
        return {}
