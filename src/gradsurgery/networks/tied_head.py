"""One network for every task, which a small embedding tells the task that is asked."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check, check_sizes


class TiedHead(Network):
    """Two strided convolutions and a linear layer z under one output layer W for all tasks: task k is W relu(z + e_k).

    Everything but the embeddings e_k is shared, the output layer too: where two tasks give one picture different
    labels, they pull the same weights apart until the embeddings tell the tasks from each other.

    Args:
        num_tasks: number of embeddings, one a task.
        num_classes: outputs.
        features: what the trunk hands on, and the numbers of an embedding.
        spread: standard deviation of the embeddings at the start; small, so that the tasks start as one.
        width: filters of the first convolution; the second has twice as many.
        size: height and width of the pictures.
    """

    def __init__(
        self,
        num_tasks: int = 2,
        num_classes: int = 10,
        features: int = 32,
        spread: float = 0.1,
        width: int = 8,
        size: int = 28,
    ):
        super().__init__()
        check_sizes({
            "num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1), "features": (features, 1),
            "width": (width, 1), "size": (size, 7),
        })  # fmt: skip
        check({"spread": (spread, 0)}, {})
        first = (size - 3) // 2 + 1
        second = (first - 3) // 2 + 1
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, stride=2), nn.ReLU(),
            nn.Flatten(), nn.Linear(2 * width * second**2, features),
        )  # fmt: skip
        self.head = nn.Linear(features, num_classes)
        self.embeddings = nn.ParameterList(nn.Parameter(spread * torch.randn(features)) for _ in range(num_tasks))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from the stubs

    def forward(self, inputs: Float[Tensor, "batch 1 size size"]) -> tuple[Tensor, ...]:
        seen = self.trunk(inputs)
        return tuple(self.head(torch.relu(seen + embedding)) for embedding in self.embeddings)

    def shared_parameters(self) -> list[nn.Parameter]:
        return [*self.trunk.parameters(), *self.head.parameters()]
