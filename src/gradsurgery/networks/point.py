"""Points in the plane: the network of the analytic landscapes."""

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from gradsurgery.core.capabilities import Points
from gradsurgery.core.interfaces import Network


class Point(Network, Points):
    """S independent points (theta, S x 2, float64), all of them shared by all tasks.

    Args:
        num_tasks: number of tasks.
        starts: where the points begin.
    """

    def __init__(self, starts: Float64[np.ndarray, "S 2"], num_tasks: int = 2):
        super().__init__()
        self.num_tasks = num_tasks
        self.theta = nn.Parameter(torch.tensor(starts, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The points, once per task; `inputs` is not looked at, as a landscape has no data."""
        return (self.theta,) * self.num_tasks

    def shared_parameters(self) -> list[nn.Parameter]:
        return [self.theta]
