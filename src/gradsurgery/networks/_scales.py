"""Layers on several scales at once, with exits along them: what both forms of MSDNet are built of."""

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network

_Hidden = list[Tensor | None]  # one entry per scale, finest first; None where a scale is not computed any more


class MultiScale(Network):
    """A multi-scale dense network whose tasks are its exits.

    Source: Huang et al. 2018 (ICLR, arXiv 1703.09844).

    Every layer appends growth times the scale's factor to each scale it computes: half from the scale itself, half by
    stride 2 from the next finer one (all from itself where there is none), each by a 1 x 1 convolution to a few times
    as many channels, the factor of the scale it reads, and a 3 x 3 one. After each of as many equal parts of the layers
    as there are scales the finest is dropped, and a 1 x 1 convolution reduces the channels of the others. Exits read
    the coarsest scale: two 3 x 3 convolutions of stride 2, the mean over the picture, one linear layer.

    Args:
        stem: makes each scale of the one before it, the finest of the picture (n, channels, height, width).
        counts: channels of every scale behind the stem, finest first.
        factors: of channels and bottlenecks, one for each scale.
        growth: channels a layer adds to a scale of factor 1; even.
        base: layers before the first exit.
        step: layers between two exits.
        num_tasks: number of exits, in order of depth.
        num_classes: outputs of each exit.
        exit_width: channels of the convolutions of an exit; None for those that it reads.

    Attributes:
        places: layers, from 0, after which the exits sit.

    Departures:
        1. Convolutions whose outcome no exit reads are not built.

    Raises:
        ValueError: `growth` is odd.
    """

    finer_first: ClassVar[bool]  # whether what comes from the finer scale stands before what comes from its own
    nested: ClassVar[bool]  # whether a unit's name is `layers.<layer>.units.<scale>`, not `layers.<layer>.<scale>`

    def __init__(
        self, stem: Sequence[nn.Module], counts: Sequence[int], factors: Sequence[int], growth: int, base: int,
        step: int, num_tasks: int, num_classes: int, exit_width: int | None = None,
    ):  # fmt: skip
        super().__init__()
        if growth % 2:
            raise ValueError(f"`growth` must be even, found growth = {growth}.")
        self.scales, depth = len(factors), base + (num_tasks - 1) * step
        self.places = [base + k * step - 1 for k in range(num_tasks)]
        self.stem, self.layers, self.heads = nn.ModuleList(stem), nn.ModuleList(), nn.ModuleList()
        part, finest = -(-depth // self.scales), 0
        for i in range(depth):
            before, finest = finest, i // part
            after = [own + growth * factor for own, factor in zip(counts, factors, strict=True)]
            if squeeze := finest > before:
                after = [self.kept(own, factor) for own, factor in zip(after, factors, strict=True)]
            layer = _Layer({
                str(s): _Scale(s, counts, factors, growth, s > before, after[s] if squeeze else None, self.finer_first)
                for s in range(max(finest, self._finest_read(i, depth - 1)), self.scales)
            })  # fmt: skip
            self.layers.append(nn.Sequential(OrderedDict(units=layer)) if self.nested else layer)
            counts = after
            if i in self.places:
                self.heads.append(_head(counts[-1], exit_width or counts[-1], num_classes))

    @abstractmethod
    def kept(self, channels: int, factor: int) -> int:
        """How many channels of a scale are kept when the finest scale is dropped."""

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, ...]:
        hidden: _Hidden = []
        for unit in self.stem:
            inputs = unit(inputs)
            hidden.append(inputs)
        outputs: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            hidden = layer(hidden)
            if i in self.places:
                outputs.append(self.heads[len(outputs)](hidden[-1]))
        return tuple(outputs)

    def shared_parameters(self) -> list[nn.Parameter]:
        """What the last exit but one reads, as the last one reads all of it too; with one exit the whole trunk."""
        place = self.places[-2] if len(self.places) > 1 else self.places[-1]
        shared: list[nn.Module] = [self.stem]
        for i, layer in enumerate(self.layers[: place + 1]):
            units = (unit for unit in layer.modules() if isinstance(unit, _Scale))
            shared += [unit for unit in units if unit.scale >= self._finest_read(i, place)]
        return [p for module in shared for p in module.parameters()]

    def _finest_read(self, layer: int, place: int) -> int:
        """The finest scale of a layer's outcome that an exit after layer `place` depends on."""
        return max(0, self.scales - 1 - (place - layer))


class _Layer(nn.ModuleDict):
    """Appends new channels to every scale that it computes, whose number is the unit's name."""

    def forward(self, hidden: _Hidden) -> _Hidden:
        out: _Hidden = [None] * len(hidden)
        for name, unit in self.items():
            s = int(name)
            out[s] = unit(hidden[s], hidden[s - 1] if s else None)
        return out


class _Scale(nn.Module):
    """One scale of one layer: new channels from the scale itself and, where there is one, from the finer scale."""

    def __init__(
        self, scale: int, counts: Sequence[int], factors: Sequence[int], growth: int, fine: bool, kept: int | None,
        finer_first: bool,
    ):  # fmt: skip
        super().__init__()
        self.scale, self._finer_first = scale, finer_first
        own, new = counts[scale], growth * factors[scale]
        half = new // 2 if fine else new
        self.own = _bottleneck(own, half, factors[scale], 1)
        self.finer = _bottleneck(counts[scale - 1], half, factors[scale - 1], 2) if fine else None
        self.squeeze: nn.Module = nn.Identity() if kept is None else unit(own + new, kept, 1, 1)

    def forward(self, own: Tensor, finer: Tensor | None) -> Tensor:
        parts = [own, self.own(own)]
        if self.finer is not None:
            parts.insert(1 if self._finer_first else 2, self.finer(finer))
        return self.squeeze(torch.cat(parts, dim=1))


def unit(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    """Convolution, normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


def _bottleneck(before: int, after: int, factor: int, stride: int) -> nn.Sequential:
    inner = min(before, factor * after)
    return nn.Sequential(unit(before, inner, 1, 1), unit(inner, after, 3, stride))


def _head(before: int, width: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        unit(before, width, 3, 2), unit(width, width, 3, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes),
    )  # fmt: skip
