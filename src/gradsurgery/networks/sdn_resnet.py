"""SDN-ResNet: a thin ResNet for 32 x 32 pictures with classifiers inside it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes
from gradsurgery.networks._exits import MixedExit, places
from gradsurgery.networks._residual import Block

_STAGES = 3  # every stage has n blocks of two convolutions: 6 n + 2 layers


class SDNResNet(Network):
    """A ResNet-(6n+2) whose tasks are its exits: classifiers after even shares of the work, and one at its end.

    Source: Kaya et al. 2019 (ICML, "Shallow-Deep Networks") on the CIFAR ResNet of He et al. 2015 (section 4.2); with 7
    exits and depth 56 the network of Meta-GF's experiments, its inner exits after about 15, 30, ..., 90 % of the work.

    Work is counted in multiplications of convolutions. Inner exit j of K - 1 sits after the block whose share of the
    work is nearest to 0.9 j / (K - 1). An inner classifier is a learned mixture of max and average pooling to about
    4 x 4, then one linear layer; the last one averages over the whole picture.

    Args:
        num_tasks: K, number of exits, in order of depth.
        num_classes: outputs of each exit.
        depth: number of layers, 6 n + 2.
        width: channels of the first stage; the later ones have 2 and 4 times as many.
        channels: of the pictures.
        size: height and width of the pictures.
        stride: of the first convolution; 2 halves pictures at once, which makes the whole network four times as cheap.

    Attributes:
        exits: indices of the blocks after which the inner classifiers sit.

    Departures:
        1. Blocks after the last inner exit are not shared: the last exit alone trains them.
        2. Where the shape changes the shortcut is a 1 x 1 convolution with batch normalisation.
    """

    def __init__(
        self,
        num_tasks: int = 7,
        num_classes: int = 100,
        depth: int = 56,
        width: int = 16,
        channels: int = 3,
        size: int = 32,
        stride: int = 1,
    ):
        super().__init__()
        check_sizes({
            "num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1), "depth": (depth, 0), "width": (width, 1),
            "channels": (channels, 1), "stride": (stride, 1), "size": (size, 16 * stride),
        })  # fmt: skip
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"`depth` must be 6 n + 2 with n from 1, found depth = {depth}.")
        n = (depth - 2) // 6
        if num_tasks > 3 * n:
            raise ValueError(
                f"`num_tasks` must be at most the number of blocks, {3 * n}, found num_tasks = {num_tasks}."
            )
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        size = (size - 1) // stride + 1
        stem_work = size**2 * 9 * channels * width
        self.blocks = nn.ModuleList()
        before, works, sizes = width, list[int](), []
        for stage in range(_STAGES):
            after = width * 2**stage
            for index in range(n):
                step = 2 if stage > 0 and index == 0 else 1
                block = Block(before, after, step)
                size = (size - 1) // step + 1
                works.append(size**2 * sum(p.numel() for p in block.parameters() if p.ndim == 4))
                sizes.append((after, size))
                self.blocks.append(block)
                before = after
        self.exits = places(works, num_tasks - 1, stem_work)
        self.heads = nn.ModuleList([MixedExit(*sizes[place], num_classes) for place in self.exits])
        self.heads.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, num_classes)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from the stubs

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, ...]:
        outputs: list[Tensor] = []
        hidden = self.stem(inputs)
        for index, block in enumerate(self.blocks):
            hidden = block(hidden)
            if index in self.exits:
                outputs.append(self.heads[len(outputs)](hidden))
        return (*outputs, self.heads[-1](hidden))

    def shared_parameters(self) -> list[nn.Parameter]:
        last = self.exits[-1] if self.exits else len(self.blocks) - 1
        shared = [self.stem, *self.blocks[: last + 1]]
        return [p for module in shared for p in module.parameters()]
