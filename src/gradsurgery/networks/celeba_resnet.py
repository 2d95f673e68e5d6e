"""ResNet-18 for many attributes of one picture."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.pointwise import Pointwise
from gradsurgery.core.settings import check_sizes
from gradsurgery.networks._residual import Block


class CelebAResNet(Network):
    """ResNet-18 as the shared trunk, its last 2 x 2 map as 32 numbers a width, and one logit a task.

    Source: He et al. 2015 (arXiv 1512.03385) on pictures of 64 x 64. "wide": a stem of 7 x 7 with stride 2 and pooling,
    as Recon (arXiv 2302.11289) has it: at width 64, 11,176,512 parameters in the trunk and 4,098 in a head of its two
    logits. "narrow": 3 x 3 without either, and the last map pooled by four, as Sener and Koltun 2018 (arXiv 1810.04650)
    have it, whose network PCGrad (arXiv 2001.06782) trains.

    Args:
        num_tasks: number of heads.
        width: channels of the first stage; the later ones have 2, 4 and 8 times as many.
        stem: "wide" or "narrow".

    Departures:
        1. An output is the difference of a head's two logits: the cross entropy of two logits is the binary one of it.
        2. Recon starts from weights that were trained on ImageNet, which are not among ours: all weights are drawn.
    """

    def __init__(self, num_tasks: int = 40, width: int = 64, stem: Literal["wide", "narrow"] = "wide"):
        super().__init__()
        check_sizes({"num_tasks": (num_tasks, 1), "width": (width, 1)})
        if stem not in ("wide", "narrow"):
            raise ValueError(f"`stem` must be 'wide' or 'narrow', found stem = {stem!r}.")
        kernel, stride = (7, 2) if stem == "wide" else (3, 1)
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        ]  # fmt: skip
        if stem == "wide":
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        before = width
        for after, step in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
            layers += [_Block(before, after, step), _Block(after, after, 1)]
            before = after
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.heads = nn.ModuleList(nn.Linear(4 * before, 2) for _ in range(num_tasks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        shared = self.trunk(inputs)
        # not `diff`, so that torch.fx traces it
        return tuple(both[:, 1] - both[:, 0] for both in [head(shared) for head in self.heads])

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.trunk.parameters())


class _Block(Block):
    """Draws a projection even where it needs none: on where the generator then stands the weights of all runs rest."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__(before, after, stride)
        if isinstance(self.shortcut, nn.Identity):
            Pointwise(before, after, 1, stride, bias=False)
