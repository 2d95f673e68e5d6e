"""ResNet-18 with one classifier per task."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes
from gradsurgery.networks._residual import Block


class ResNet(Network):
    """ResNet-18 as the shared trunk, a shared layer of 100, and one linear head per task.

    Source: He et al. 2015 (arXiv 1512.03385), in the form Recon (Shi et al. 2023, ICLR) uses for Multi-Fashion+MNIST:
    a 7 x 7 stem that reads one channel, a shared layer 8 * width -> 100 with ReLU, heads 100 -> classes. At width 64
    with two tasks of ten classes it has 11,223,560 parameters.

    Args:
        num_tasks: number of heads.
        num_classes: outputs of each head.
        width: channels of the first stage; the later ones have 2, 4 and 8 times as many.

    Departures: none known.
    """

    def __init__(self, num_tasks: int = 2, num_classes: int = 10, width: int = 64):
        super().__init__()
        check_sizes({"num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1), "width": (width, 1)})
        stages: list[nn.Module] = []
        before = width
        for after, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
            stages += [Block(before, after, stride), Block(after, after, 1)]
            before = after
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            *stages,
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, 100), nn.ReLU(),
        )  # fmt: skip
        self.heads = nn.ModuleList(nn.Linear(100, num_classes) for _ in range(num_tasks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from the stubs

    def forward(self, inputs: Float[Tensor, "batch 1 height width"]) -> tuple[Tensor, ...]:
        shared = self.trunk(inputs)
        return tuple(head(shared) for head in self.heads)

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.trunk.parameters())
