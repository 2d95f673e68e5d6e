"""Pictures with hidden patches: which, how well they were filled in, and how that is trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import device_of
from gradsurgery.core.training import WarmedCosine
from gradsurgery.problems._ssim import similarity_map

Holes = Bool[Tensor, "n grid grid"]  # of a picture of grid x grid patches


@dataclass(frozen=True, kw_only=True)
class MaskedTraining(WarmedCosine):
    """As for `WarmedCosine`; a batch is a micro-batch."""

    batch_size: int = 256
    lr: float = 2e-4
    weight_decay: float = 0.05
    clip: float | None = 50.0


def holes_of(patches: Shaped[np.ndarray, "n places"], hidden: int) -> Holes:
    """True on the first `hidden` patches of each permutation."""
    holes, grid = np.zeros(patches.shape, bool), math.isqrt(patches.shape[1])
    np.put_along_axis(holes, patches[:, :hidden].astype(np.int64), True, axis=1)
    return torch.from_numpy(holes.reshape(-1, grid, grid))


def drawn_holes(generator: np.random.Generator, n: int, patches: int, hidden: int) -> Holes:
    """`hidden` of as many `patches` at random, in each of n pictures."""
    return holes_of(np.argsort(generator.random((n, patches)), axis=1, kind="stable"), hidden)


def judge(
    network: Network, images: UInt8[Tensor, "n size size 3"], holes: Holes, mean: Sequence[float], sd: Sequence[float]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, "n classes"] | None]:
    """Mean absolute error (of normalised pictures) and mean SSIM (of pictures in [0, 1]) over each picture's holes, and
    what the network says of classes, if anything.

    Args:
        network: takes the picture, 0 in its holes, and a fourth channel that is 1 there.
        images: the whole pictures.
        holes: what is hidden of them.
        mean, sd: of the three channels, by which pictures are normalised.
    """
    device = device_of(network)
    means, sds = (torch.tensor(values, device=device).view(3, 1, 1) for values in (mean, sd))
    truth = images.to(device).permute(0, 3, 1, 2).float().div(255.0).contiguous()
    normalised, patch = (truth - means) / sds, images.shape[1] // holes.shape[1]
    hole = holes.to(device).float()[:, None].repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    for_error, for_similarity, *scores = network(torch.cat([normalised * (1.0 - hole), hole], dim=1))
    hidden = 3.0 * hole.sum(dim=(1, 2, 3))
    error = ((for_error.float() - normalised).abs() * hole).sum(dim=(1, 2, 3)) / hidden
    filled = torch.lerp(truth, for_similarity.float() * sds + means, hole)
    similar = (similarity_map(filled, truth) * hole).sum(dim=(1, 2, 3)) / hidden
    return error, similar, scores[0] if scores else None
