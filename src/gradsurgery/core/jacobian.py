"""K x K products of the task gradients, and the way back: G = J J^T, J d, and d = J^T w.

J is read once, in column blocks that stay in cache. Within a block the arithmetic is J's own (float32 at least, TF32
and its bfloat16 cousin on the CPU switched off); blocks are added in float64, so that rounding does not grow with P.

On a GPU every number that Python asks for waits for the device. What is wanted at the same time is asked for together.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

_BLOCK = 4096  # columns per batched product; 2^12 to 2^14 measure alike, smaller ones cost more partial sums
_DOT_BLOCK = 262144  # columns per dot product: rows of 1 MiB (float32) stay in the shared cache between their products
_HALF = (torch.float16, torch.bfloat16)
_FEW_TASKS = 3  # up to here K (K + 1) / 2 dot products beat a matrix product on the CPU


def read(*tensors: Tensor) -> list[np.ndarray]:
    """The numbers of small tensors, in float64 and of their shapes, with one wait for the device."""
    if not tensors:
        return []
    flats = [tensor.detach().reshape(-1).double() for tensor in tensors]
    flat = (torch.cat(flats) if len(flats) > 1 else flats[0]).cpu().numpy()
    parts, end = [], 0
    for tensor in tensors:
        start, end = end, end + tensor.numel()
        parts.append(flat[start:end].reshape(tensor.shape))
    return parts


def gram(J: Float[Tensor, "K P"], beside: Tensor | None = None) -> Float64[np.ndarray, "K K"]:
    """G = J J^T in float64, exactly symmetric; not finite only where J is not, or where float64 overflows.

    Args:
        J: the task gradients.
        beside: a number on J's device; if it is not finite, no entry of G is. Who must know of both waits only once.
    """
    (G,), numbers = grams([J], *([] if beside is None else [beside]))
    return G if all(map(np.isfinite, numbers)) else np.full_like(G, np.nan)


def grams(
    matrices: Sequence[Float[Tensor, "K _"]], *beside: Tensor
) -> tuple[list[Float64[np.ndarray, "K K"]], list[np.ndarray]]:
    """`gram` of every matrix, and what `read` makes of the tensors `beside` them, with one wait for the device."""
    found, numbers = _grams(matrices, beside)
    for i, J in enumerate(matrices):
        diagonal = found[i].diagonal()
        # float32 squares leave its range long before the gradients do (10^19, 10^-22): float64 then decides.
        if J.dtype != torch.float64 and not (np.isfinite(diagonal).all() and (diagonal > 1e-30).all()):
            blocks, _ = _grams(block.double() for block in J.split(2**20, dim=1))
            found[i] = np.sum(blocks, axis=0)
    return found, numbers


def gains(J: Float[Tensor, "K P"], d: Float[Tensor, " P"]) -> tuple[Float64[np.ndarray, " K"], float]:
    """J d in float64, how much each task gains, to first order, from a step along -d; and |d|."""
    rows = zip(J.split(_DOT_BLOCK, dim=1), d.split(_DOT_BLOCK), strict=True)
    blocks = torch.stack([block.double() @ part.double() for block, part in rows])
    products, length = read(blocks, torch.linalg.vector_norm(d.double()))
    return np.sum(products, axis=0), float(length)


def combine(J: Float[Tensor, "K P"], w: Float64[np.ndarray, " K"], out: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """d = J^T w, written into `out`, in one pass over J."""
    if J.dtype in _HALF:
        weights = torch.as_tensor(w, dtype=torch.float32, device=J.device)  # eight bits of w would be too few
        for block, part in zip(J.split(_DOT_BLOCK, dim=1), out.split(_DOT_BLOCK), strict=True):
            part.copy_(weights @ block.float())
        return out
    with full_precision():
        return torch.mv(J.T, torch.as_tensor(w, dtype=J.dtype, device=J.device), out=out)


def _grams(
    matrices: Iterable[Float[Tensor, "K _"]], beside: Sequence[Any] = ()
) -> tuple[list[Float64[np.ndarray, "K K"]], list[np.ndarray]]:
    found: list[list[Any]] = []  # of every matrix the Gram matrices of its blocks
    for J in matrices:
        blocks = [J] if J.dtype not in _HALF else (block.float() for block in J.split(2**20, dim=1))
        few = len(J) <= _FEW_TASKS and J.device.type == "cpu"
        found.append([_dots(block) if few else _products(block) for block in blocks])
    waiting = [part for own in found for part in own if isinstance(part, Tensor)]
    if waiting or beside:
        numbers = iter(read(*waiting, *beside))
        found = [[_symmetric(next(numbers)) if waiting else part for part in own] for own in found]
        beside = tuple(numbers)
    return [own[0] if len(own) == 1 else np.sum(own, axis=0) for own in found], list(beside)


def _symmetric(G: Float64[np.ndarray, "K K"]) -> Float64[np.ndarray, "K K"]:
    return (G + G.T) / 2


def _dots(J: Float[Tensor, "K P"]) -> Float64[np.ndarray, "K K"]:
    K, P = J.shape
    G = np.zeros((K, K))
    for a in range(0, P, _DOT_BLOCK):
        rows = J[:, a : a + _DOT_BLOCK].unbind()
        for i in range(K):
            for j in range(i + 1):
                G[i, j] += torch.dot(rows[i], rows[j]).item()
    return np.tril(G) + np.tril(G, -1).T


def _products(J: Float[Tensor, "K P"]) -> Float64[Tensor, "K K"]:
    K, P = J.shape
    whole = P // _BLOCK * _BLOCK
    blocks = J[:, :whole].view(K, -1, _BLOCK).transpose(0, 1)
    with full_precision():
        total = torch.bmm(blocks, blocks.transpose(1, 2)).sum(0, dtype=torch.float64)
        total += (J[:, whole:] @ J[:, whole:].T).double()
    return total


@contextmanager
def full_precision() -> Iterator[None]:
    """float32 products in float32, whatever the user allowed for the network."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
