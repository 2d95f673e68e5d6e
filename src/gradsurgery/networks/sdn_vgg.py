"""SDN-VGG: VGG-16 for 32 x 32 pictures with classifiers inside it."""

import math

from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes
from gradsurgery.networks._exits import MixedExit, places

_STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))  # channels in widths; a stage ends by halving the picture
_LAYERS = sum(map(len, _STAGES))


class SDNVGG(Network):
    """VGG-16 with batch normalisation whose tasks are its exits: classifiers after even shares of the work, one at its
    end.

    Source: Kaya et al. 2019 (ICML, "Shallow-Deep Networks") on Simonyan and Zisserman 2015 (arXiv 1409.1556); with 7
    exits the network of Meta-GF's and DR-MGF's experiments, whose inner exits sit after convolutions 2, 4, 6, 7, 9 and
    10 of 13. The last exit has two linear layers of 512 before its classifier, of which the second has no ReLU.

    Args:
        num_tasks: number of exits, in order of depth.
        num_classes: outputs of each exit.
        width: channels of the first convolution; the last has 8 times as many.
        channels: of the pictures.
        size: height and width of the pictures, a multiple of 32.

    Attributes:
        exits: convolutions, from 0, after which the inner classifiers sit.

    Departures:
        1. No dropout before the last classifier: its draws would come from no generator of the run.
        2. Convolutions after the last inner exit are not shared: the last exit alone trains them.
    """

    def __init__(
        self, num_tasks: int = 7, num_classes: int = 100, width: int = 64, channels: int = 3, size: int = 32
    ):  # fmt: skip
        super().__init__()
        check_sizes({
            "num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1), "width": (width, 1),
            "channels": (channels, 1), "size": (size, 32),
        })  # fmt: skip
        if size % 32:
            raise ValueError(f"`size` must be a multiple of 32, found size = {size}.")
        if num_tasks > _LAYERS:
            raise ValueError(f"`num_tasks` must be at most {_LAYERS}, found num_tasks = {num_tasks}.")
        self.layers = nn.ModuleList()
        before, works, shapes = channels, list[int](), list[tuple[int, int]]()
        for stage in _STAGES:
            for index, after in enumerate(width * factor for factor in stage):
                works.append(size**2 * 9 * before * after)
                parts: list[nn.Module] = [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
                if index == len(stage) - 1:
                    parts.append(nn.MaxPool2d(2))
                    size //= 2
                shapes.append((after, size))
                self.layers.append(nn.Sequential(*parts))
                before = after
        self.exits = places(works, num_tasks - 1)
        self.heads = nn.ModuleList(MixedExit(*shapes[place], num_classes) for place in self.exits)
        hidden = 8 * width
        self.heads.append(nn.Sequential(
            nn.Flatten(), nn.Linear(before * size**2, hidden), nn.ReLU(), nn.Linear(hidden, hidden),
            nn.Linear(hidden, num_classes),
        ))  # fmt: skip
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=math.sqrt(2 / (9 * module.out_channels)))
                assert module.bias is not None
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, ...]:
        outputs: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            inputs = layer(inputs)
            if index in self.exits:
                outputs.append(self.heads[len(outputs)](inputs))
        return (*outputs, self.heads[-1](inputs))

    def shared_parameters(self) -> list[nn.Parameter]:
        shared = self.layers[: self.exits[-1] + 1] if self.exits else self.layers
        return list(shared.parameters())
