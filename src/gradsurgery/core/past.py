"""What the rows of J have in common with each other and with those of the step before, asked for sparingly."""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gradsurgery.core.jacobian import full_precision, gram, grams

_HALF = (torch.float16, torch.bfloat16)
Past = Callable[[int, int], tuple[float, float]]


def with_past(
    J: Float[Tensor, "K P"], previous: Float[Tensor, "K P"] | None
) -> tuple[Float64[np.ndarray, "K K"], Past]:
    """G, and a function from (j, k) to the inner product of row j of J with the previous row k and the latter's length.

    Both are zero before there are previous rows. The function may be asked until `previous` is overwritten.
    """
    if previous is None or J.device.type == "cpu":
        # Most steps ask for two of these or none: far less than J previous^T.
        return gram(J), cache(partial(_past, J, previous))
    # Elsewhere every number asked for waits for the device, which costs more than all of them at once.
    new, old = (rows.float() if rows.dtype in _HALF else rows for rows in (J, previous))
    with full_precision():
        inner = new @ old.T
    (G,), (products, lengths) = grams([J], inner, torch.linalg.vector_norm(old, dim=1))
    return G, lambda j, k: (float(products[j, k]), float(lengths[k]))


def _past(J: Float[Tensor, "K P"], previous: Float[Tensor, "K P"] | None, j: int, k: int) -> tuple[float, float]:
    """The inner product of row j of J with the previous row k, and the latter's length; zeros before there is one."""
    if previous is None:
        return 0.0, 0.0
    new, old = J[j], previous[k]
    if J.dtype in _HALF:
        new, old = new.float(), old.float()
    return float(torch.dot(new, old)), float(torch.linalg.vector_norm(old))
