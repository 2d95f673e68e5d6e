"""Pictures with hidden patches: which, how well they were filled in, and the rate by which that is learned."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from gradsurgery.core.interfaces import Network
from gradsurgery.networks.masked_autoencoder import PATCH
from gradsurgery.problems._album import IMAGENET_MEAN, IMAGENET_SD
from gradsurgery.problems.reconstruction import similarity_map


def holes_of(patches: Shaped[np.ndarray, "n places"], hidden: int) -> Bool[Tensor, "n grid grid"]:
    """True on the first `hidden` patches of each permutation."""
    holes, grid = np.zeros(patches.shape, bool), math.isqrt(patches.shape[1])
    np.put_along_axis(holes, patches[:, :hidden].astype(np.int64), True, axis=1)
    return torch.from_numpy(holes.reshape(-1, grid, grid))


def judge(
    network: Network, images: UInt8[Tensor, "n size size 3"], holes: Bool[Tensor, "n grid grid"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, "n classes"] | None]:
    """Mean absolute error (of normalised pictures) and mean SSIM (of pictures in [0, 1]) over each picture's holes, and
    what the network says of classes."""
    device = next(network.parameters()).device
    mean, sd = (torch.tensor(values, device=device).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_SD))
    truth = images.to(device).permute(0, 3, 1, 2).float().div(255.0).contiguous()
    normalised = (truth - mean) / sd
    hole = holes.to(device).float()[:, None].repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)
    for_error, for_similarity, *scores = network(torch.cat([normalised * (1.0 - hole), hole], dim=1))
    hidden = 3.0 * hole.sum(dim=(1, 2, 3))
    error = ((for_error.float() - normalised).abs() * hole).sum(dim=(1, 2, 3)) / hidden
    filled = torch.lerp(truth, for_similarity.float() * sd + mean, hole)
    similar = (similarity_map(filled, truth) * hole).sum(dim=(1, 2, 3)) / hidden
    return error, similar, scores[0] if scores else None


def warmed_cosine(warmup: int, epochs: int, floor: float, epoch: int) -> float:
    """The learning rate of an epoch (from 0) as a share of the full one: even steps up, then a cosine to `floor`."""
    if epoch < warmup:
        return (epoch + 1) / (warmup + 1)
    done = (epoch - warmup) / max(1, epochs - warmup - 1)
    return floor + (1.0 - floor) * (1.0 + math.cos(math.pi * min(1.0, done))) / 2.0
