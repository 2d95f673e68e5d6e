"""The one convex problem behind CAGrad and MGDA, solved exactly on K x K numbers.

    minimise  F(w) = m^T w + s sqrt(w^T G w)  over the simplex  {w >= 0, sum w = 1}

An active-set method in the manner of Wolfe's minimum-norm-point algorithm (Mathematical Programming 11, 1976): on the
affine hull of a few tasks the minimiser has a closed form; walk to it until a weight turns zero (drop that task), and
once it is reached let in the task that would lower F the most. F falls at every step, so no support comes twice.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

_OPEN = 1e-12  # a task enters when it lowers F by more than this per unit of weight (G is scaled to mean diagonal 1)
_NOTHING = 1e-15  # |g_w|^2 below this is zero: float64 holds no more of it


class Minimum(NamedTuple):
    """Where F is smallest, and the vector that proves it.

    Attributes:
        w: the minimiser.
        norm: |g_w| = sqrt(w^T G w), exactly 0 where float64 cannot tell it from 0.
        beta: (m + G beta)_k >= F(w) for every task, with equality on the support. It is s w / |g_w|; where g_w is
            zero F has a kink, and beta is the smallest vector on the support that gives the equalities.
    """

    w: Float64[np.ndarray, " K"]
    norm: float
    beta: Float64[np.ndarray, " K"]


def minimise(G: Float64[np.ndarray, "K K"], m: Float64[np.ndarray, " K"], s: float) -> Minimum:
    """Minimises F over the simplex.

    Args:
        G: Gram matrix, scaled so that its mean diagonal is about 1.
        m: linear term.
        s: weight of the norm, non-negative.
    """
    K = len(G)
    start = int(np.argmin(m + s * np.sqrt(np.diag(G))))
    support = [start]
    w = np.zeros(K)
    w[start] = 1.0
    norm, beta = _multipliers(G, m, s, w, support)
    for _ in range(20 * K):
        slope = m + G @ beta
        entering = int(np.argmin(slope))
        if entering in support or slope[entering] >= m @ w + s * norm - _OPEN:
            break
        support.append(entering)
        before = w
        w = _descend(G, m, s, w, support)
        norm, beta = _multipliers(G, m, s, w, support)
        if np.array_equal(w, before):
            break
    return Minimum(w, norm, beta)


def _descend(
    G: Float64[np.ndarray, "K K"], m: Float64[np.ndarray, " K"], s: float, w: Float64[np.ndarray, " K"], S: list[int]
) -> Float64[np.ndarray, " K"]:
    """Walks to the minimiser over the hull of `S`, dropping the tasks (in place) whose weight turns zero on the way."""
    while len(S) > 1:
        step, reach = _towards_minimiser(G, m, s, w, S)
        weights = w[S]
        falling = step < 0.0
        ratios = np.full(len(S), np.inf)
        ratios[falling] = weights[falling] / -step[falling]
        length = min(reach, float(ratios.min()))
        moved = np.maximum(weights + length * step, 0.0)
        if length < reach:
            moved[int(np.argmin(ratios))] = 0.0
        w = np.zeros_like(w)
        w[S] = moved / moved.sum()
        S[:] = [k for k in S if w[k] > 0.0]
        if length == reach:
            break
    return w


def _towards_minimiser(
    G: Float64[np.ndarray, "K K"], m: Float64[np.ndarray, " K"], s: float, w: Float64[np.ndarray, " K"], S: list[int]
) -> tuple[np.ndarray, float]:
    """A direction in the weights of `S` that sums to zero, and how far to follow it: 1 to the minimiser, or no end.

    With u the weights of all but the last task, F = const + b^T u + s sqrt((u - c)^T H (u - c) + rest^2). If
    R^2 = b^T H^-1 b < s^2 the minimum is at c - (rest / sqrt(s^2 - R^2)) H^-1 b; else F falls for ever along -H^-1 b.
    """
    GS, mS, weights = G[np.ix_(S, S)], m[S], w[S]
    last = GS[-1]
    H = GS[:-1, :-1] - last[:-1, None] - last[None, :-1] + last[-1]
    b = mS[:-1] - mS[-1]
    try:
        solved = np.linalg.solve(H, np.column_stack([last[-1] - last[:-1], b]))
    except np.linalg.LinAlgError:
        solved = np.linalg.pinv(H) @ np.column_stack([last[-1] - last[:-1], b])
    centre, fall = solved.T
    R2 = float(b @ fall)
    if R2 >= s * s:
        return np.append(-fall, fall.sum()), np.inf
    nearest = np.append(centre, 1.0 - centre.sum())
    rest = np.sqrt(max(float(nearest @ GS @ nearest), 0.0))
    target = centre - rest / np.sqrt(s * s - R2) * fall
    step = target - weights[:-1]
    return np.append(step, -step.sum()), 1.0


def _multipliers(
    G: Float64[np.ndarray, "K K"], m: Float64[np.ndarray, " K"], s: float, w: Float64[np.ndarray, " K"], S: list[int]
) -> tuple[float, Float64[np.ndarray, " K"]]:
    square = float(w @ G @ w)
    if square > _NOTHING:
        norm = float(np.sqrt(square))
        return norm, s / norm * w
    beta = np.zeros_like(w)
    beta[S] = np.linalg.lstsq(G[np.ix_(S, S)], m @ w - m[S], rcond=1e-10)[0]
    return 0.0, beta
