"""Promises about numbers: lengths over twelve decades, gradients far from 1, and the dtypes networks train in."""

import math

import torch
from torch import Tensor

from gradsurgery.certify import matrices
from gradsurgery.certify.measure import apart, draws, same_law, size
from gradsurgery.certify.properties import Missed, Property, conflict
from gradsurgery.certify.subject import Subject, told_by
from gradsurgery.foreign import Fault

# Powers of ten that a whole J is multiplied with: squares of its entries overflow in float32, not in float64.
_SCALES = {torch.float64: (-60, 60), torch.float32: (-18, 25), torch.float16: (-2, 2)}
_ROUNDING = 1e-4


def _dtype_kept(subject: Subject, J: Tensor) -> float:
    dtypes = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    return float(any(subject.direction(J.to(dtype)).dtype != dtype for dtype in dtypes))


def _finite_decades(subject: Subject, J: Tensor) -> float:
    return 0.0 if torch.isfinite(subject.direction(J)).all() else float("inf")


def _non_conflict_decades(subject: Subject, J: Tensor) -> float:
    return conflict(J, subject.direction(J), 0.0)


def _finite_scales(subject: Subject, J: Tensor) -> float:
    """Not finite, or zero where the same J at its own scale has a direction; in no more bits than it computes in.

    A dtype is asked for no answer that it cannot hold: d itself may grow with a power of J.
    """
    bits = torch.finfo(subject.dtype).bits
    for dtype in (each for each in _SCALES if torch.finfo(each).bits <= bits):
        moves = bool(subject.direction(J.to(dtype)).abs().max() > 1e-4 * size(J))
        for power in _SCALES[dtype]:
            where = f"J * 1e{power} in {dtype}"
            try:
                d = subject.direction((J.double() * 10.0**power).to(dtype))
            except Fault as fault:
                raise Missed(f"{where}: {told_by(fault)}") from fault
            finite = bool(torch.isfinite(d).all())
            if (finite and (d.any() or not moves)) or not _holds(dtype, _largest(subject, J, power, dtype)):
                continue
            raise Missed(f"{where}: d = 0" if finite else f"{where}: not finite")
    return 0.0


def _largest(subject: Subject, J: Tensor, power: int, dtype: torch.dtype) -> float:
    """Power of ten of the largest entry that d at J * 10**power has; of none where nothing says so.

    A wider dtype tells. In the widest that it computes in, d is taken to grow as it does from J to 100 J, or J / 100.
    """
    if dtype != subject.dtype and math.isfinite(found := _power(subject, J * 10.0**power)):
        return found
    near, far = _power(subject, J), _power(subject, J * 10.0 ** math.copysign(2.0, power))
    return near + 0.5 * (far - near) * abs(power)


def _power(subject: Subject, J: Tensor) -> float:
    try:
        return float(subject.direction(J).double().abs().max().log10())
    except Fault:
        return math.nan


def _holds(dtype: torch.dtype, power: float) -> bool:
    """Whether a number of that size has a place in the dtype; one of no known size is taken to have."""
    info = torch.finfo(dtype)
    return not (power >= math.log10(info.max) or -math.inf < power < math.log10(info.tiny))


def _float32(subject: Subject, J: Tensor) -> float:
    return _rounded(subject, J.float(), J)


def _half(subject: Subject, J: Tensor) -> float:
    """J is rounded first, so that only what the method does differs."""
    found = [J.to(dtype) for dtype in (torch.float16, torch.bfloat16)]
    return max(_rounded(subject, low, low.to(J.dtype)) for low in found)


def _rounded(subject: Subject, low: Tensor, J: Tensor) -> float:
    """How far the directions at the same J in two dtypes are apart; in law, where the dtype changes what is drawn."""
    found = apart(subject.direction(low), subject.direction(J), size(J))
    return same_law(subject, low, subject, J) if found > _ROUNDING and draws(subject, J) else found


PRECISION = (
    Property("dtype_kept", "d has J's dtype: float64, float32, float16, bfloat16", _dtype_kept,
             matrices.moving_rows, 0.0, 0.0),
    Property("finite_decades", "d is finite where lengths spread over twelve decades", _finite_decades,
             matrices.spread_rows, 0.0, 0.0),
    Property("non_conflict_decades", "<g_k, d> >= 0 where lengths spread over twelve decades", _non_conflict_decades,
             matrices.spread_rows),
    Property("finite_scales", "d is finite, and not lost, from 1e-60 J to 1e60 J (less in float32, float16)",
             _finite_scales, matrices.moving_rows, 0.0, 0.0),
    Property("float32", "float32 gives float64's direction", _float32, matrices.moving_rows, _ROUNDING, 1e-3),
    Property("half", "float16 and bfloat16 give the direction of the same numbers in full precision", _half,
             matrices.moving_rows, 2e-2, 2e-2),
)  # fmt: skip
