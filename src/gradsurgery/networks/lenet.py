"""LeNet-like convolutional networks for two overlaid 36 x 36 pictures."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes


class LeNet(Network):
    """A shared convolutional trunk with one small classifier per task.

    Source: `lenet`: Sener and Koltun 2018 (arXiv 1810.04650), two 5 x 5 convolutions with 10 and 20 channels, a shared
    layer of 50, heads 50-50-classes. `cagrad`: Liu et al. 2021 (arXiv 2110.14048), appendix B.1: 9 x 9 and 5 x 5
    convolutions with 5 and 10 channels, batch normalisation, a shared layer of 50, linear heads.

    Args:
        num_tasks: number of heads.
        num_classes: outputs of each head.
        variant: which of the two networks.

    Departures:
        1. `lenet` takes 36 x 36 pictures, so its shared layer reads 720 numbers instead of 320.
        2. `lenet` has no dropout: its masks would be one more source of randomness between the methods compared.
        3. Pooling comes before the ReLU. Both are monotone, so the function is the same, and the step is faster.
    """

    def __init__(self, num_tasks: int = 2, num_classes: int = 10, variant: Literal["lenet", "cagrad"] = "lenet"):
        super().__init__()
        check_sizes({"num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1)})
        if variant == "cagrad":
            self.trunk = nn.Sequential(
                nn.Conv2d(1, 5, 9), nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(5),
                nn.Conv2d(5, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(250),
                nn.Linear(250, 50),
            )  # fmt: skip
            self.heads = nn.ModuleList(nn.Linear(50, num_classes) for _ in range(num_tasks))
        elif variant == "lenet":
            self.trunk = nn.Sequential(
                nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(),
                nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
                nn.Linear(720, 50), nn.ReLU(),
            )  # fmt: skip
            self.heads = nn.ModuleList(
                nn.Sequential(nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, num_classes)) for _ in range(num_tasks)
            )
        else:
            raise ValueError(f"`variant` must be 'lenet' or 'cagrad', found variant = {variant!r}.")
        # Convolutions run about a third faster on channels-last weights, and the function is the same.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from the stubs

    def forward(self, inputs: Float[Tensor, "batch 1 36 36"]) -> tuple[Tensor, ...]:
        shared = self.trunk(inputs)
        return tuple(head(shared) for head in self.heads)

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.trunk.parameters())
