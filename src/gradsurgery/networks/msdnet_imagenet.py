"""MSDNet for large pictures: as `msdnet`, with four scales, another beginning and other exits."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes

_Hidden = list[Tensor | None]  # one entry per scale, finest first; None where a scale is not computed any more


class MSDNetImageNet(Network):
    """A multi-scale dense network for pictures of 224 x 224, whose tasks are its exits.

    Source: Huang et al. 2018 (ICLR, arXiv 1703.09844), ImageNet form in the sizes that papers on multi-exit training
    compare on: 5 exits, base 4, step 4, growth 16, 32 channels, factors 1-2-4-4. Up to exits 1 to 5 it has 4.24, 8.77,
    13.07, 16.75 and 23.96 million parameters, all exits before included.

    A 7 x 7 convolution of stride 2 and max pooling make the finest scale, convolutions of stride 2 the others. Every
    layer appends growth times the scale's factor to each scale it computes: half from the scale itself, half by stride
    2 from the next finer one (all from itself where there is none), each by a 1 x 1 convolution to a few times as many
    channels, the factor of the scale it reads, and a 3 x 3 one. After each of as many equal parts of the layers as
    there are scales the finest is dropped, and a 1 x 1 convolution halves the channels of the others. Exits read the
    coarsest scale: two 3 x 3 convolutions of stride 2 that keep its channels, the mean, one linear layer.

    Args:
        num_tasks: number of exits, in order of depth.
        num_classes: outputs of each exit.
        base, step: layers before the first exit, and between two.
        growth: channels a layer adds to a scale of factor 1; even.
        width: channels of a scale of factor 1 at first.
        factors: of channels and bottlenecks, one for each scale, finest first.

    Departures:
        1. Convolutions whose outcome no exit reads are not built; at the default sizes there are none.
    """

    def __init__(
        self, num_tasks: int = 5, num_classes: int = 1000, base: int = 4, step: int = 4, growth: int = 16,
        width: int = 32, factors: tuple[int, ...] = (1, 2, 4, 4),
    ):  # fmt: skip
        super().__init__()
        if not factors or min(factors) < 1 or max(factors) > 100:
            raise ValueError(f"`factors` must be numbers from 1 to 100, one for each scale, found factors = {factors}.")
        check_sizes({
            "num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1), "base": (base, 1), "step": (step, 1),
            "growth": (growth, 2), "width": (width, 2),
        })  # fmt: skip
        if growth % 2:
            raise ValueError(f"`growth` must be even, found growth = {growth}.")
        self.scales, depth = len(factors), base + (num_tasks - 1) * step
        self.places = [base + k * step - 1 for k in range(num_tasks)]
        first = nn.Sequential(*_unit(3, width * factors[0], 7, 2), nn.MaxPool2d(3, 2, 1))
        rest = (_unit(width * factors[s - 1], width * factors[s], 3, 2) for s in range(1, self.scales))
        self.stem = nn.ModuleList([first, *rest])
        self.layers, self.heads = nn.ModuleList(), nn.ModuleList()
        part, finest = -(-depth // self.scales), 0
        for i in range(depth):
            before, finest = finest, i // part
            units = nn.ModuleDict()
            for s in range(max(finest, self._finest_read(i, depth - 1)), self.scales):
                units[str(s)] = _Scale(width, growth, factors, s, fine=s > before, squeeze=finest > before)
            self.layers.append(units)
            width += growth
            if finest > before:
                width //= 2
            if i in self.places:
                self.heads.append(_head(width * factors[-1], num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from the stubs

    def forward(self, inputs: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        hidden: _Hidden = []
        for unit in self.stem:
            inputs = unit(inputs)
            hidden.append(inputs)
        outputs: list[Tensor] = []
        for i, units in enumerate(self.layers):
            assert isinstance(units, nn.ModuleDict)
            found: _Hidden = [None] * self.scales
            for name, unit in units.items():
                s = int(name)
                found[s] = unit(hidden[s], hidden[s - 1] if s else None)
            hidden = found
            if i in self.places:
                outputs.append(self.heads[len(outputs)](hidden[-1]))
        return tuple(outputs)

    def shared_parameters(self) -> list[nn.Parameter]:
        """What the last exit but one reads, as the last one reads all of it too; with one exit the whole trunk."""
        place = self.places[-2] if len(self.places) > 1 else self.places[-1]
        shared: list[nn.Module] = [self.stem]
        for i, units in enumerate(self.layers[: place + 1]):
            assert isinstance(units, nn.ModuleDict)
            shared += [unit for name, unit in units.items() if int(name) >= self._finest_read(i, place)]
        return [p for module in shared for p in module.parameters()]

    def _finest_read(self, layer: int, place: int) -> int:
        """The finest scale of a layer's outcome that an exit after layer `place` depends on."""
        return max(0, self.scales - 1 - (place - layer))


class _Scale(nn.Module):
    """One scale of one layer: new channels from the scale itself and, where there is one, from the finer scale."""

    def __init__(self, width: int, growth: int, factors: tuple[int, ...], s: int, fine: bool, squeeze: bool):
        super().__init__()
        own, new = width * factors[s], growth * factors[s]
        half = new // 2 if fine else new
        self.own = _bottleneck(own, half, factors[s], 1)
        self.finer = _bottleneck(width * factors[s - 1], half, factors[s - 1], 2) if fine else None
        after = (width + growth) // 2 * factors[s]
        self.squeeze: nn.Module = _unit(own + new, after, 1, 1) if squeeze else nn.Identity()

    def forward(self, own: Tensor, finer: Tensor | None) -> Tensor:
        parts = [own, self.own(own)]
        if self.finer is not None:
            parts.insert(1, self.finer(finer))
        return self.squeeze(torch.cat(parts, dim=1))


def _unit(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


def _bottleneck(before: int, after: int, factor: int, stride: int) -> nn.Sequential:
    inner = min(before, factor * after)
    return nn.Sequential(_unit(before, inner, 1, 1), _unit(inner, after, 3, stride))


def _head(channels: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        _unit(channels, channels, 3, 2), _unit(channels, channels, 3, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes),
    )  # fmt: skip
