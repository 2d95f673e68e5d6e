"""A shared SegNet, and for each task another one that reads the shared one's features beside its own."""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes
from gradsurgery.networks.segnet import SegNet

_DEEP = (1, 1, 2, 2, 2)  # convolutions that a stage has besides its first


class DenseSegNet(Network):
    """MTAN without masks: every task's own network gets all features of the shared one.

    Source: "Dense" of Liu et al. 2019, arXiv 1803.10704, section 5.1, in the form of its code. With s_j what stage j of
    the shared SegNet reads (pooled features in the encoder, unpooled ones in the decoder), stage j of task t's network
    reads its own such features with s_j beside them; the first one reads the picture. A task unpools by its own places.
    Weights are drawn by Xavier's uniform rule, biases are 0.

    Args:
        outputs: channels of each task's map: (13, 1, 3) for NYUv2, (7, 1) for Cityscapes.
        width: channels of the first stage; the later ones have 2, 4, 8 and 8 times as many.

    Departures:
        1. The last stage of the shared decoder, which nobody reads, is left out.
        2. Those of SegNet.
    """

    def __init__(self, outputs: tuple[int, ...] = (13, 1, 3), width: int = 64):
        super().__init__()
        if not outputs or min(outputs) < 1:
            raise ValueError(f"`outputs` must name at least one channel for each task, found outputs = {outputs}.")
        check_sizes({"width": (width, 1), "outputs": (max(outputs), 1)})
        self.shared = SegNet((1,), width)
        del self.shared.heads, self.shared.decoder[-1]
        self.own = nn.ModuleList(_Own(channels, width) for channels in outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, inputs: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        net, x, read, places = self.shared, inputs, [], []
        for stage in net.encoder:
            read.append(x)
            full = stage(x)
            x, indices = net.pool(full)
            places.append((indices, full))
        for stage, place in zip((*net.decoder, None), reversed(places), strict=True):
            read.append(net.unpool(x, *place))
            x = x if stage is None else stage(read[-1])
        return tuple(self._answer(own, inputs, read[1:]) for own in self.own)

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.shared.parameters())

    def _answer(self, own: nn.Module, inputs: Tensor, read: list[Tensor]) -> Tensor:
        assert isinstance(own, _Own)
        x, places, beside = inputs, [], iter(read)
        for place, stage in enumerate(own.encoder):
            full = stage(x if place == 0 else torch.cat([x, next(beside)], dim=1))
            x, indices = self.shared.pool(full)
            places.append((indices, full))
        for stage, place_of in zip(own.decoder, reversed(places), strict=True):
            x = stage(torch.cat([self.shared.unpool(x, *place_of), next(beside)], dim=1))
        answer: Tensor = own.head(x)
        return answer


class _Own(nn.Module):
    """One task's network."""

    def __init__(self, channels: int, w: int):
        super().__init__()
        f = (w, 2 * w, 4 * w, 8 * w, 8 * w)
        down = ((3, w, w), *((2 * f[i - 1], *(1 + _DEEP[i]) * (f[i],)) for i in range(1, 5)))
        up = (*((2 * f[i], *(1 + _DEEP[i]) * (f[i - 1],)) for i in range(4, 0, -1)), (2 * w, 2 * w, w))
        self.encoder = nn.ModuleList(_stage(each) for each in down)
        self.decoder = nn.ModuleList(_stage(each) for each in up)
        self.head = nn.Sequential(nn.Conv2d(w, w, 3, padding=1), nn.Conv2d(w, channels, 1))


def _stage(channels: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)
