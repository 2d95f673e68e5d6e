"""The split-batch null: how far the gradients of one and the same task agree on two halves of a batch.

Source: protocol.md 1.3 (after Elich et al., "Examining Common Paradigms in Multi-Task Learning"): gradients of one task
on two sets of examples conflict too.

    null.same_task    cos(g_k on one half, g_k on the other), mean over tasks
    null.cross_task   cos(g_i on one half, g_j on the other), mean over ordered pairs i != j
    null.random_sd    1 / sqrt(P), the standard deviation of the cosine of two random directions

Halves carry twice the noise of a batch, so `mean_cosine` must not be held against `null.same_task`: `cross_task` is
there for that, with the same noise. Where the two agree, tasks conflict no more than examples do. A balancer's weights
are left out, as a cosine does not feel them, and so is a task that has no example in one of the halves.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gradsurgery.core.conflict import mean_cosine
from gradsurgery.core.interfaces import Losses, Metrics
from gradsurgery.core.jacobian import gram
from gradsurgery.core.layers import layer_grams
from gradsurgery.core.processes import averaged

_Rows = list[Float[Tensor, " P"] | None]


def half_batch_null(
    losses: Callable[[Any], Losses],
    batches: Sequence[Any],
    shared: Sequence[nn.Parameter],
    layers: Mapping[str, Sequence[nn.Parameter]],
) -> tuple[Metrics, list[Metrics]]:
    """The null of one step, over all shared parameters and for each of `layers`. Costs 2K backward passes.

    Args:
        losses: the task losses of a batch.
        batches: the step's micro-batches; each is halved, and each side's gradients are added up.
        shared: the parameters that J's columns stand for.
        layers: those that are asked for.

    Returns:
        The three numbers, and the first two of them for each layer; nothing where no task is on both sides.
    """
    first, second = (_summed(losses, side, shared) for side in zip(*map(_halves, batches), strict=True))
    tasks = [k for k, pair in enumerate(zip(first, second, strict=True)) if pair[0] is not None and pair[1] is not None]
    if not tasks:
        return {}, []
    some = next(row for row in first if row is not None)
    J = averaged(torch.stack([torch.zeros_like(some) if row is None else row for row in first + second]))
    own = [_nulls(G, tasks) for G in layer_grams(J, shared, layers)] if layers else []
    return {**_nulls(gram(J), tasks), "null.random_sd": float(J.shape[1]) ** -0.5}, own


def _nulls(G: Float64[np.ndarray, "rows rows"], tasks: Sequence[int]) -> Metrics:
    K = len(G) // 2
    same = [mean_cosine(G[[k, k + K]][:, [k, k + K]]) for k in tasks]
    cross = [mean_cosine(G[[i, j + K]][:, [i, j + K]]) for i in tasks for j in tasks if i != j]
    return {"null.same_task": sum(same) / len(same), "null.cross_task": sum(cross) / len(cross) if cross else 0.0}


def _halves(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, Tensor):
        if len(batch) < 2:
            raise ValueError(f"`batch_size` must be at least 2 to be halved, found {len(batch)}.")
        first, second = batch.tensor_split(2)
        return first, second
    if isinstance(batch, tuple | list):
        pairs = [_halves(entry) for entry in batch]
        return type(batch)(a for a, _ in pairs), type(batch)(b for _, b in pairs)
    if isinstance(batch, dict):
        parts = {name: _halves(entry) for name, entry in batch.items()}
        return {name: a for name, (a, _) in parts.items()}, {name: b for name, (_, b) in parts.items()}
    return batch, batch


def _summed(losses: Callable[[Any], Losses], batches: Sequence[Any], shared: Sequence[nn.Parameter]) -> _Rows:
    total, *others = (_gradients(losses(batch), shared) for batch in batches)
    for rows in others:
        total = [b if a is None else a if b is None else a + b for a, b in zip(total, rows, strict=True)]
    return total


def _gradients(losses: Losses, shared: Sequence[nn.Parameter]) -> _Rows:
    """Each task's gradient, None where the batch has no example of it."""
    present = {k: loss for k, loss in enumerate(losses) if loss is not None}
    rows: _Rows = [None] * len(losses)
    for k, loss in present.items():
        grads = torch.autograd.grad(loss, shared, retain_graph=k < max(present), allow_unused=True)
        rows[k] = torch.cat(
            [(torch.zeros_like(p) if g is None else g).reshape(-1) for p, g in zip(shared, grads, strict=True)]
        )
    return rows
