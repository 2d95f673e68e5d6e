"""K x K products of the task gradients, and the way back: G = J J^T, J d, and d = J^T w.

J is read once, in column blocks that stay in cache. Within a block the arithmetic is J's own (float32 at least, TF32
and its bfloat16 cousin on the CPU switched off); blocks are added in float64, so that rounding does not grow with P.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

_BLOCK = 4096  # columns per batched product; 2^12 to 2^14 measure alike, smaller ones cost more partial sums
_DOT_BLOCK = 262144  # columns per dot product: rows of 1 MiB (float32) stay in the shared cache between their products
_FEW_TASKS = 3  # up to here K (K + 1) / 2 dot products beat a matrix product on the CPU


def gram(J: Float[Tensor, "K P"], beside: Tensor | None = None) -> Float64[np.ndarray, "K K"]:
    """G = J J^T in float64, exactly symmetric; not finite only where J is not, or where float64 overflows.

    Args:
        J: the task gradients.
        beside: a number on J's device; if it is not finite, no entry of G is. Who must know of both waits only once.
    """
    G = _gram(J, beside)
    diagonal = G.diagonal()
    # float32 squares leave its range long before the gradients do (10^19, 10^-22): float64 then decides.
    if J.dtype != torch.float64 and not (np.isfinite(diagonal).all() and (diagonal > 1e-30).all()):
        blocks = [_gram(block.double(), beside) for block in J.split(2**20, dim=1)]
        G = np.sum(blocks, axis=0)
    return G


def products(J: Float[Tensor, "K P"], d: Float[Tensor, " P"]) -> Float64[np.ndarray, " K"]:
    """J d in float64: how much each task gains, to first order, from a step along -d."""
    rows = zip(J.split(_DOT_BLOCK, dim=1), d.split(_DOT_BLOCK), strict=True)
    return np.sum([(block.double() @ part.double()).cpu().numpy() for block, part in rows], axis=0)


def combine(J: Float[Tensor, "K P"], w: Float64[np.ndarray, " K"], out: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """d = J^T w, written into `out`, in one pass over J."""
    if J.dtype in (torch.float16, torch.bfloat16):
        weights = torch.as_tensor(w, dtype=torch.float32, device=J.device)  # eight bits of w would be too few
        for block, part in zip(J.split(_DOT_BLOCK, dim=1), out.split(_DOT_BLOCK), strict=True):
            part.copy_(weights @ block.float())
        return out
    with _full_precision():
        return torch.mv(J.T, torch.as_tensor(w, dtype=J.dtype, device=J.device), out=out)


def _gram(J: Float[Tensor, "K P"], beside: Tensor | None) -> Float64[np.ndarray, "K K"]:
    K, P = J.shape
    if J.dtype in (torch.float16, torch.bfloat16):
        return np.sum([_gram(block.float(), beside) for block in J.split(2**20, dim=1)], axis=0)
    if K <= _FEW_TASKS and J.device.type == "cpu":
        G = np.zeros((K, K)) if beside is None else np.full((K, K), 0.0 * float(beside))
        for a in range(0, P, _DOT_BLOCK):
            rows = J[:, a : a + _DOT_BLOCK].unbind()
            for i in range(K):
                for j in range(i + 1):
                    G[i, j] += torch.dot(rows[i], rows[j]).item()
        return np.tril(G) + np.tril(G, -1).T
    whole = P // _BLOCK * _BLOCK
    blocks = J[:, :whole].view(K, -1, _BLOCK).transpose(0, 1)
    with _full_precision():
        total = torch.bmm(blocks, blocks.transpose(1, 2)).sum(0, dtype=torch.float64)
        total += (J[:, whole:] @ J[:, whole:].T).double()
        if beside is not None:
            total += 0.0 * beside
    G = total.cpu().numpy()
    return (G + G.T) / 2


@contextmanager
def _full_precision() -> Iterator[None]:
    """float32 products in float32, whatever the user allowed for the network."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
