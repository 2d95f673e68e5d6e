"""The arithmetic of DR-MGF: lengths of gated kernels, shares of the tasks, and what a line scan makes of its losses.

Shapes: n tasks, o output and i input channels; a unit is a kernel, or one number of a parameter without kernels.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

_LRN_ALPHA, _LRN_BETA = 1e-4, 0.75
_TINY_NORM, _TINY_ROW, _TINY_SUM = 1e-12, 1e-10, 1e-20
SCAN_POINTS = 20


def response(importance: Float[Tensor, "n o i"]) -> Float[Tensor, "n o i"]:
    """p: importance damped by the sum over its row (local response normalisation over the in-channels)."""
    size = importance.abs()
    return size / (1.0 + _LRN_ALPHA * size.sum(dim=2, keepdim=True)) ** _LRN_BETA


def gate(importance: Float[Tensor, "n o i"], own: int | None, own_weight: float) -> Float[Tensor, "o i"]:
    """gamma: the length of each kernel in the stage of task number `own` of the n; None: of a task not among them."""
    weights = torch.ones(len(importance), dtype=importance.dtype, device=importance.device)
    if own is not None:
        weights[own] = own_weight
    return torch.tensordot(weights / weights.sum(), response(importance), dims=1)


def resized(weight: Float[Tensor, "o i *kernel"], length: Float[Tensor, "o i"]) -> Float[Tensor, "o i *kernel"]:
    """`weight` with every kernel of the given length."""
    norm = torch.linalg.vector_norm(weight, dim=tuple(range(2, weight.ndim))).clamp_min(_TINY_NORM)
    return weight * spread(length / norm, weight.ndim)


def policy(
    scale: Float[Tensor, "n *unit"],
    importance: Float[Tensor, "n o i"] | None = None,
    fusion: Literal["meta", "average", "sigmoid"] = "meta",
) -> Float[Tensor, "n *unit"]:
    """pi: the share of each of the n tasks in every unit; shares sum to 1."""
    if fusion == "average":
        return torch.full_like(scale, 1.0 / len(scale))
    if fusion == "sigmoid":
        alpha = torch.sigmoid(scale)
    else:
        alpha = scale.abs()
        if importance is not None:
            size = importance.abs()
            alpha = size / (size.sum(dim=2, keepdim=True) + _TINY_ROW) * alpha
    return alpha / (alpha.sum(dim=0) + _TINY_SUM)


def fused(
    old: Float[Tensor, "*shape"], changes: Sequence[Float[Tensor, "*shape"]], shares: Float[Tensor, "n *unit"] | None
) -> Float[Tensor, "*shape"]:
    """theta' of one shared parameter; a unit may be a whole kernel. Without shares: the plain mean of the changes."""
    if shares is None:
        return old + sum(changes[1:], start=changes[0]) / len(changes)
    for share, change in zip(shares, changes, strict=True):
        old = old + spread(share, change.ndim) * change
    return old


def mixture(
    means: Sequence[Float[Tensor, " c"]], variances: Sequence[Float[Tensor, " c"]]
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Mean and variance of an equal mixture of distributions with these means and variances."""
    first, second = torch.stack(list(means)), torch.stack(list(variances))
    mean = first.mean(dim=0)
    return mean, (second + first.square()).mean(dim=0) - mean.square()


def scan_points(reach: float) -> list[float]:
    """Where a line scan looks: 20 points from -reach to reach, that is reach * (2 k / 19 - 1)."""
    return [reach * (2 * k / (SCAN_POINTS - 1) - 1) for k in range(SCAN_POINTS)]


def scan_weight(losses: Float64[np.ndarray, " points"], reach: float) -> float:
    """The auxiliary weight that a line scan gives: where the loss is least, but no less than 0."""
    finite = np.where(np.isfinite(losses), losses, np.inf)
    return max(0.0, scan_points(reach)[int(finite.argmin())])


def spread(values: Tensor, ndim: int) -> Tensor:
    """`values` with dimensions of size 1 behind, so that a number per kernel meets the whole kernel."""
    return values.reshape(*values.shape, *(1,) * (ndim - values.ndim))
