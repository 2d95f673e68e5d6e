"""A convolutional network for many attributes of one picture."""

import itertools

from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes

_STAGES = ((1,), (2, 2), (4, 4), (8, 8))  # channels of each convolution, in widths; a stage halves the picture


class CelebACNN(Network):
    """Seven 3 x 3 convolutions and two linear layers, shared, each with BatchNorm; one logit a task.

    Source: the network that FAMO and SAM-GS (arXiv 2506.06130) train on CelebA: 64, 128, 128, 256, 256, 512 and 512
    channels and twice 512 units, none with a bias, 5,176,640 shared parameters; pooling by two after each of the first
    three stages and over the whole picture after the last.

    Args:
        num_tasks: number of heads.
        width: channels of the first convolution.

    Departures:
        1. Outputs are logits; theirs are probabilities.
    """

    def __init__(self, num_tasks: int = 40, width: int = 64):
        super().__init__()
        check_sizes({"num_tasks": (num_tasks, 1), "width": (width, 1)})
        layers: list[nn.Module] = []
        before = 3
        for last, stage in ((place == len(_STAGES) - 1, own) for place, own in enumerate(_STAGES)):
            for after in (width * factor for factor in stage):
                layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
                before = after
            layers.append(nn.AdaptiveAvgPool2d(1) if last else nn.MaxPool2d(2))
        layers.append(nn.Flatten())
        for inputs, units in itertools.pairwise((before,) * 3):
            layers += [nn.Linear(inputs, units, bias=False), nn.BatchNorm1d(units), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(before, 1) for _ in range(num_tasks))

    def forward(self, inputs: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        shared = self.trunk(inputs)
        return tuple(head(shared)[:, 0] for head in self.heads)

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.trunk.parameters())
