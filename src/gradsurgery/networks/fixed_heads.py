"""A small convolutional trunk under linear heads that never train and meet at a chosen angle."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes


class FixedHeads(Network):
    """Two strided convolutions and a linear layer, shared, under K linear heads that are drawn once and stay.

    Head k is a matrix W_k (classes, features) with W_k W_k^T = I and W_j W_k^T = c I for every two heads, c being
    `cosine`. With U_1 .. U_K orthonormal, all rows of all of them together, and m their mean,

        W_k = sqrt(1 - c) (U_k - m) + sqrt(1 + (K - 1) c) m

    so that no head comes first. Each head alone is a random matrix of orthonormal rows whatever c and K are: a task on
    its own is as hard at every angle, and only what the tasks ask of the same features changes. There is such a set of
    heads from c = -1 / (K - 1), where they add up to nothing, to c = 1, where they are one.

    Args:
        num_tasks: K, number of heads.
        num_classes: outputs of each head.
        cosine: c, between the same rows of any two heads.
        features: what the trunk hands to the heads; at least num_tasks x num_classes.
        width: filters of the first convolution; the second has twice as many.
        size: height and width of the pictures.
    """

    heads: Tensor

    def __init__(
        self,
        num_tasks: int = 2,
        num_classes: int = 10,
        cosine: float = 0.0,
        features: int = 32,
        width: int = 8,
        size: int = 28,
    ):
        super().__init__()
        check_sizes({
            "num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1), "width": (width, 1), "size": (size, 7),
        })  # fmt: skip
        check_sizes({"features": (features, num_tasks * num_classes)}, " with these tasks and classes")
        least = -1.0 / max(num_tasks - 1, 1)
        if not least <= cosine <= 1.0:
            raise ValueError(f"`cosine` must be from {least:.3g} to 1 with these tasks, found cosine = {cosine}.")
        first = (size - 3) // 2 + 1
        second = (first - 3) // 2 + 1
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, stride=2), nn.ReLU(),
            nn.Flatten(), nn.Linear(2 * width * second**2, features),
        )  # fmt: skip
        rows = nn.init.orthogonal_(torch.empty(num_tasks * num_classes, features))
        apart = rows.unflatten(0, (num_tasks, num_classes))
        mean = apart.mean(dim=0)
        heads = (1.0 - cosine) ** 0.5 * (apart - mean) + max(1.0 + (num_tasks - 1) * cosine, 0.0) ** 0.5 * mean
        self.register_buffer("heads", heads)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from the stubs

    def forward(self, inputs: Float[Tensor, "batch 1 size size"]) -> tuple[Tensor, ...]:
        shared = self.trunk(inputs)
        return tuple(shared @ head.T for head in self.heads)

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.trunk.parameters())
