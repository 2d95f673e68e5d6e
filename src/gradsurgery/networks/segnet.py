"""SegNet with one small dense head per task."""

import itertools

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes


class SegNet(Network):
    """An encoder that remembers where each maximum was and a decoder that puts it back there; pictures in, maps out.

    Source: Badrinarayanan et al. 2015 (arXiv 1511.00561), in the form of Liu et al. 2019 (arXiv 1803.10704), which
    CAGrad and Recon use for Cityscapes and NYUv2: 13 + 13 convolutions of 3 x 3, each with batch normalisation and
    ReLU; as a head a 3 x 3 and a 1 x 1 convolution with nothing between them. Weights are drawn by Xavier's normal
    rule, biases are 0. At width 64 with outputs 7 and 1 it has 25,017,672 parameters in 52 shared and 4 other layers.

    Args:
        outputs: channels of each task's map: (7, 1) for Cityscapes, (13, 1, 3) for NYUv2.
        width: channels of the first stage; the later ones have 2, 4, 8 and 8 times as many.

    Departures:
        1. Three loss weights that the published network holds and never uses are left out (it counts 25,017,675).
        2. Outputs are bare: log-softmax and the normals' length belong to the problem's losses.
        3. Each map is put back to its size before pooling, so that pictures need not be multiples of 32.
    """

    def __init__(self, outputs: tuple[int, ...] = (7, 1), width: int = 64):
        super().__init__()
        if not outputs or min(outputs) < 1:
            raise ValueError(f"`outputs` must name at least one channel for each task, found outputs = {outputs}.")
        check_sizes({"width": (width, 1), "outputs": (max(outputs), 1)})
        w = width
        down = ((3, w, w), (w, 2 * w, 2 * w), (2 * w, *3 * (4 * w,)), (4 * w, *3 * (8 * w,)), 4 * (8 * w,))
        up = (4 * (8 * w,), (8 * w, *3 * (4 * w,)), (4 * w, *3 * (2 * w,)), (2 * w, w, w), (w, w, w))
        self.encoder = nn.ModuleList(_stage(channels) for channels in down)
        self.decoder = nn.ModuleList(_stage(channels) for channels in up)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = _Unpool()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, w, 3, padding=1), nn.Conv2d(w, channels, 1)) for channels in outputs
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, inputs: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        x, places = inputs, []
        for stage in self.encoder:
            full = stage(x)
            x, indices = self.pool(full)
            places.append((indices, full))
        for stage, (indices, full) in zip(self.decoder, reversed(places), strict=True):
            x = stage(self.unpool(x, indices, full))
        return tuple(head(x) for head in self.heads)

    def shared_parameters(self) -> list[nn.Parameter]:
        return [*self.encoder.parameters(), *self.decoder.parameters()]


class _Unpool(nn.Module):
    """The inverse of pooling. `nn.MaxUnpool2d` is refused by torch's deterministic mode, as windows could overlap."""

    def forward(
        self,
        pooled: Float[Tensor, "batch channels h w"],
        indices: Int64[Tensor, "batch channels h w"],
        full: Float[Tensor, "batch channels height width"],
    ) -> Tensor:
        empty = torch.zeros(full.shape, dtype=pooled.dtype, device=pooled.device).flatten(2)
        return empty.scatter(2, indices.flatten(2), pooled.flatten(2)).view(full.shape)


def _stage(channels: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)
