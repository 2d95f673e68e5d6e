"""A wide residual network with heads for classes and rotations, and a memory of its own past."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.pointwise import Pointwise
from gradsurgery.core.settings import check_sizes

_SLOPE, _STEM = 0.1, 16  # of LeakyReLU below 0; channels of the first convolution


class WideResNet(Network):
    """WRN-(6n+4)-k, whose outputs are class scores, scores of four quarter turns, and the features behind both.

    Source: Zagoruyko and Komodakis 2016 (arXiv 1605.07146) in the form of ARML's code (Shi et al. 2020, arXiv
    2010.08244) after Oliver et al. 2018 (arXiv 1804.09170): WRN-28-2, LeakyReLU of slope 0.1. With 10 classes it has
    1,467,610 parameters, and the head of rotations 516 more.

    Args:
        num_classes: outputs of the first head.
        depth: number of layers, 6 n + 4.
        width: k, factor on 16, 32 and 64 channels.

    Attributes:
        teacher: the trunk as a running mean of its past (`remember`). It holds buffers and no parameters, so that
            nothing trains it, and it is saved with the network.
        weights: of the two losses beside that of classes; ones at first. Whoever trains the network changes them.
        steps: how often the teacher has moved.

    Departures: none known.
    """

    teacher: nn.Module
    weights: Tensor
    steps: Tensor

    def __init__(self, num_classes: int = 10, depth: int = 28, width: int = 2):
        super().__init__()
        check_sizes({"num_classes": (num_classes, 1), "depth": (depth, 0), "width": (width, 1)})
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"`depth` must be 6 n + 4 with n from 1, found depth = {depth}.")
        layers: list[nn.Module] = [nn.Conv2d(3, _STEM, 3, padding=1, bias=False)]
        before = _STEM
        for stage in range(3):
            after = _STEM * 2**stage * width
            for index in range((depth - 4) // 6):
                layers.append(_Block(before, after, 2 if stage and not index else 1, first=not stage and not index))
                before = after
        layers += [nn.BatchNorm2d(before), nn.LeakyReLU(_SLOPE), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.trunk = nn.Sequential(*layers)
        self.classes, self.rotation = nn.Linear(before, num_classes), nn.Linear(before, 4)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
                nn.init.zeros_(module.bias)
        self.teacher = _untrained(self.trunk)
        self.register_buffer("weights", torch.ones(2))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from the stubs

    def forward(self, inputs: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, Tensor, Tensor]:
        features = self.trunk(inputs)
        return self.classes(features), self.rotation(features), features

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.trunk.parameters())

    @torch.no_grad()
    def remember(self, memory: float) -> None:
        """Moves the teacher towards the trunk: it keeps `memory` of itself, in its first steps less."""
        share = torch.clamp(1.0 - 1.0 / (self.steps + 1.0), max=memory)
        for name, now in self.trunk.named_parameters():
            self.teacher.get_buffer(name).mul_(share).add_((1.0 - share) * now)
        self.steps += 1


class _Block(nn.Module):
    """BatchNorm, LeakyReLU and a 3 x 3 convolution twice, with a shortcut around them.

    In the very first block the shortcut too starts behind the first activation, as in the source.
    """

    def __init__(self, before: int, after: int, stride: int, first: bool):
        super().__init__()
        start = nn.Sequential(nn.BatchNorm2d(before), nn.LeakyReLU(_SLOPE))
        self.before = start if first else nn.Identity()
        self.branch = nn.Sequential(
            *([] if first else start), nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after), nn.LeakyReLU(_SLOPE), nn.Conv2d(after, after, 3, 1, 1, bias=False),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = Pointwise(before, after, 1, stride, bias=False)

    def forward(self, inputs: Float[Tensor, "batch before height width"]) -> Tensor:
        inputs = self.before(inputs)
        return self.branch(inputs) + self.shortcut(inputs)


def _untrained(module: nn.Module) -> nn.Module:
    """A copy that holds as buffers what `module` holds as parameters."""
    made = copy.deepcopy(module)
    for part in made.modules():
        for name, parameter in [*part.named_parameters(recurse=False)]:
            delattr(part, name)
            part.register_buffer(name, parameter.detach().clone())
    return made
