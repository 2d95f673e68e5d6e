"""MSDNet: a densely connected network on several scales at once, with classifiers along its depth."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes

_SQUEEZE = 0.5  # share of the channels that is kept when the finest scale is dropped

_Hidden = list[Tensor | None]  # one entry per scale, finest first; None where a scale is not computed any more


class MSDNet(Network):
    """A multi-scale dense network for small pictures, whose tasks are its exits.

    Source: Huang et al. 2018 (ICLR, arXiv 1703.09844), CIFAR form; the defaults are those of Meta-GF's and DR-MGF's
    CIFAR-100 experiments (7 exits, base 4, step 2, growth 16, 16 channels, factors 1-2-4).

    Scale s halves the picture s times. Every layer appends growth * 2^s channels to each scale it computes: half from
    the scale itself, half by stride 2 from the next finer scale (all from itself where there is none), each by a 1 x 1
    convolution to a few times as many channels and a 3 x 3 one. After each of `scales` equal parts of the layers the
    finest scale is dropped, and a 1 x 1 convolution halves the channels of the others. Exits read the coarsest scale:
    two 3 x 3 convolutions of stride 2 with `exit_width` channels, the mean over the picture, one linear layer.

    Args:
        num_tasks: number of exits, in order of depth.
        num_classes: outputs of each exit.
        base: layers before the first exit.
        step: layers between two exits.
        growth: channels a layer adds to the finest scale.
        width: channels of the finest scale at first.
        scales: number of scales.
        channels: of the pictures.
        stride: of the first convolution; 2 halves pictures at once, which makes the whole network four times as cheap.
        exit_width: channels of the convolutions of an exit.

    Departures:
        1. Convolutions whose outcome no exit reads are not built; at the default sizes there are none.
    """

    def __init__(
        self,
        num_tasks: int = 7,
        num_classes: int = 100,
        base: int = 4,
        step: int = 2,
        growth: int = 16,
        width: int = 16,
        scales: int = 3,
        channels: int = 3,
        stride: int = 1,
        exit_width: int = 128,
    ):
        super().__init__()
        check_sizes({
            "num_tasks": (num_tasks, 1), "num_classes": (num_classes, 1), "base": (base, 1), "step": (step, 1),
            "growth": (growth, 2), "width": (width, 1), "scales": (scales, 1), "channels": (channels, 1),
            "stride": (stride, 1), "exit_width": (exit_width, 1),
        })  # fmt: skip
        if growth % 2:
            raise ValueError(f"`growth` must be even, found growth = {growth}.")
        self.scales = scales
        depth = base + (num_tasks - 1) * step
        self.places = [base + k * step - 1 for k in range(num_tasks)]
        counts = [width * 2**s for s in range(scales)]
        self.stem = nn.ModuleList(
            _unit(channels if s == 0 else counts[s - 1], counts[s], 3, stride=stride if s == 0 else 2)
            for s in range(scales)
        )
        self.layers, self.heads = nn.ModuleList(), nn.ModuleList()
        part = -(-depth // scales)
        finest = 0
        for i in range(depth):
            before, finest = finest, i // part
            computed = range(max(finest, self._finest_read(i, depth - 1)), scales)
            layer = _Layer(counts, computed, before, growth, squeeze=finest > before)
            self.layers.append(layer)
            counts = layer.counts
            if i in self.places:
                self.heads.append(_head(counts[-1], exit_width, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from the stubs

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
            assert isinstance(layer, _Layer)
            shared += [layer.units[str(s)] for s in layer.computed if s >= self._finest_read(i, place)]
        return [p for module in shared for p in module.parameters()]

    def _finest_read(self, layer: int, place: int) -> int:
        """The finest scale of a layer's outcome that an exit after layer `place` depends on."""
        return max(0, self.scales - 1 - (place - layer))


class _Layer(nn.Module):
    """Appends new channels to every scale it computes."""

    def __init__(self, counts: list[int], computed: range, before: int, growth: int, squeeze: bool):
        super().__init__()
        self.computed = computed
        self.counts = [0] * len(counts)
        self.units = nn.ModuleDict()
        for s in computed:
            finer = counts[s - 1] if s > before else 0
            self.units[str(s)] = unit = _Scale(counts[s], finer, growth, s, squeeze)
            self.counts[s] = unit.channels

    def forward(self, hidden: _Hidden) -> _Hidden:
        out: _Hidden = [None] * len(hidden)
        for s in self.computed:
            out[s] = self.units[str(s)](hidden[s], hidden[s - 1] if s > 0 else None)
        return out


class _Scale(nn.Module):
    """One scale of one layer: new channels from the scale itself and, where there is one, from the finer scale."""

    def __init__(self, own: int, finer: int, growth: int, s: int, squeeze: bool):
        super().__init__()
        new = growth * 2**s
        half = new // 2 if finer else new
        self.own = _bottleneck(own, half, 2**s, stride=1)
        self.finer = _bottleneck(finer, half, 2 ** (s - 1), stride=2) if finer else None
        self.channels = own + new
        self.squeeze: nn.Module = nn.Identity()
        if squeeze:
            before, self.channels = self.channels, int(_SQUEEZE * self.channels)
            self.squeeze = _unit(before, self.channels, 1)

    def forward(self, own: Tensor, finer: Tensor | None) -> Tensor:
        parts = [own, self.own(own)]
        if self.finer is not None:
            parts.append(self.finer(finer))
        return self.squeeze(torch.cat(parts, dim=1))


def _unit(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


def _bottleneck(before: int, after: int, factor: int, stride: int) -> nn.Sequential:
    inner = min(before, factor * after)
    return nn.Sequential(_unit(before, inner, 1), _unit(inner, after, 3, stride))


def _head(before: int, width: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        _unit(before, width, 3, 2), _unit(width, width, 3, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes),
    )  # fmt: skip
