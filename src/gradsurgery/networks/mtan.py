"""MTAN: one SegNet for all tasks, and masks with which each task picks what it needs from every stage of it."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check_sizes


class MTAN(Network):
    """A shared SegNet of ten stages; at each of them a task masks the features and hands them on to its next mask.

    Source: Liu et al., "End-to-End Multi-Task Learning with Attention", CVPR 2019, arXiv 1803.10704, in the form that
    CAGrad and Recon use for NYUv2. With A_t the masks of task t, all else shared, e and e' the first and the last
    features of a stage of the encoder, u the unpooled input of a stage of the decoder and d its last features:

        a_1 = pool(F_1(A_t1(e_1) * e'_1)),    a_j = pool(F_j(A_tj([e_j, a_{j-1}]) * e'_j))
        b_0 = a_5,                            b_j = A'_tj([u_j, F'_j(up(b_{j-1}))]) * d_j,    output t = head_t(b_5)

    A mask is two 1 x 1 convolutions with normalisation, ReLU after the first and a sigmoid at the end; F are 3 x 3
    convolutions with normalisation and ReLU. The 72 shared layers are those of SegNet's stages and of F; masks and
    heads belong to one task each. Weights are drawn by Xavier's normal rule, biases are 0. At width 64 with outputs 13,
    1 and 3 it has 44,229,073 parameters.

    Args:
        outputs: channels of each task's map: (13, 1, 3) for NYUv2, (7, 1) for Cityscapes.
        width: channels of the first stage; the later ones have 2, 4, 8 and 8 times as many.

    Departures:
        1. Three loss weights that the published network holds and never uses are left out (it counts 44,229,076).
        2. Outputs are bare: log-softmax and the normals' length belong to the problem's losses.
        3. Maps are put back to the size of the shared features beside them instead of doubled, so that pictures need
           not be multiples of 32; for those that are it is the same.
    """

    def __init__(self, outputs: tuple[int, ...] = (13, 1, 3), width: int = 64):
        super().__init__()
        if not outputs or min(outputs) < 1:
            raise ValueError(f"`outputs` must name at least one channel for each task, found outputs = {outputs}.")
        check_sizes({"width": (width, 1), "outputs": (max(outputs), 1)})
        w = width
        f = (w, 2 * w, 4 * w, 8 * w, 8 * w)
        above, below = (f[0], *f[:-1]), (*f[1:], f[4])  # of the stage that is nearer to the picture, of the deeper one
        deep = (1, 1, 2, 2, 2)  # units that a stage has besides its first
        self.encoder_first = nn.ModuleList(_unit(a, b) for a, b in zip((3, *f[:-1]), f, strict=True))
        self.decoder_first = nn.ModuleList(_unit(b, a) for a, b in zip(above, f, strict=True))
        self.encoder_rest = nn.ModuleList(_units(b, n) for b, n in zip(f, deep, strict=True))
        self.decoder_rest = nn.ModuleList(_units(a, n) for a, n in zip(above, deep, strict=True))
        self.encoder_masks = nn.ModuleList(
            nn.ModuleList(_mask(b if j == 0 else 2 * b, b) for j, b in enumerate(f)) for _ in outputs
        )
        self.decoder_masks = nn.ModuleList(
            nn.ModuleList(_mask(b + a, a) for a, b in zip(above, f, strict=True)) for _ in outputs
        )
        self.encoder_fuse = nn.ModuleList(_unit(b, c) for b, c in zip(f, below, strict=True))
        self.decoder_fuse = nn.ModuleList(_unit(b, a) for a, b in zip(above, f, strict=True))
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.shrink = nn.MaxPool2d(2)
        self.unpool = _Unpool()
        self.resize = _Resize()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, w, 3, padding=1), nn.Conv2d(w, channels, 1)) for channels in outputs
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.xavier_normal_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, inputs: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        x, encoded, places = inputs, [], []
        for first, rest in zip(self.encoder_first, self.encoder_rest, strict=True):
            early = first(x)
            full = rest(early)
            x, indices = self.pool(full)
            encoded.append((early, full))
            places.append((indices, full))
        decoded = []
        for j in reversed(range(len(places))):
            unpooled = self.unpool(x, *places[j])
            x = self.decoder_rest[j](self.decoder_first[j](unpooled))
            decoded.append((unpooled, x))
        # No helper: torch.fx traces `forward` with placeholders, which one with annotations would refuse in tests.
        outputs = []
        for t, head in enumerate(self.heads):
            down, up = self.encoder_masks.get_submodule(str(t)), self.decoder_masks.get_submodule(str(t))
            own = None
            for fuse, mask, (early, full) in zip(self.encoder_fuse, down.children(), encoded, strict=True):
                seen = early if own is None else torch.cat([early, own], dim=1)
                own = self.shrink(fuse(mask(seen) * full))
            for j, (unpooled, full) in zip(reversed(range(len(decoded))), decoded, strict=True):
                own = self.decoder_fuse[j](self.resize(own, unpooled))
                own = up.get_submodule(str(j))(torch.cat([unpooled, own], dim=1)) * full
            outputs.append(head(own))
        return tuple(outputs)

    def shared_parameters(self) -> list[nn.Parameter]:
        shared = (
            self.encoder_first, self.decoder_first, self.encoder_rest, self.decoder_rest, self.encoder_fuse,
            self.decoder_fuse,
        )  # fmt: skip
        return [p for modules in shared for p in modules.parameters()]


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


class _Resize(nn.Module):
    """A map at the size of another one, bilinear, corners on corners."""

    def forward(
        self, small: Float[Tensor, "batch channels h w"], like: Float[Tensor, "batch others height width"]
    ) -> Tensor:
        return interpolate(small, size=like.shape[2:], mode="bilinear", align_corners=True)


def _unit(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU())


def _units(channels: int, number: int) -> nn.Sequential:
    return nn.Sequential(*(layer for _ in range(number) for layer in _unit(channels, channels)))


def _mask(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 1), nn.BatchNorm2d(after), nn.ReLU(),
        nn.Conv2d(after, after, 1), nn.BatchNorm2d(after), nn.Sigmoid(),
    )  # fmt: skip
