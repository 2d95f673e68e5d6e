"""The one convex problem behind CAGrad and MGDA, solved exactly on K x K numbers.

    minimise  F(w) = m^T w + s |g_w|  over the simplex  {w >= 0, sum w = 1},  |g_w| = sqrt(w^T G w)

A task's slope (m + G beta)_k is <g_k, d>, and "d hurts no task" is a statement about every slope beside its own |g_k|.
Where lengths differ by more than float64's G can hold side by side (`_SPREAD`), the same problem is solved for unit
gradients: u_k = w_k |g_k|, over {u >= 0, sum a_k u_k = 1} with a_k = 1 / |g_k|. All a_k are 1 elsewhere.

An active-set method in the manner of Wolfe's minimum-norm-point algorithm (Mathematical Programming 11, 1976): on the
affine hull of a few tasks the minimiser has a closed form; walk to it until a weight turns zero (drop that task), and
once it is reached let in the task that would lower F the most. F falls at every step, so no support comes twice.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

_OPEN = 1e-12  # a task enters when it lowers F by more than this per unit of weight (G is scaled to mean diagonal 1)
_SPREAD = 1e8  # largest |g_k|^2 over the smallest one up to which G is taken as it is
_NOTHING = 1e-14  # |g_w|^2 below this share of (sum_k w_k |g_k|)^2 is zero: float64 holds no more of it

Vector = Float64[np.ndarray, " K"]
Matrix = Float64[np.ndarray, "K K"]


class Minimum(NamedTuple):
    """Where F is smallest, and the vector that proves it.

    Attributes:
        w: the minimiser.
        value: F(w).
        norm: |g_w|, exactly 0 where float64 cannot tell it from 0.
        beta: (m + G beta)_k >= F(w) for every task, with equality on the support. It is s w / |g_w| where that exists.
    """

    w: Vector
    value: float
    norm: float
    beta: Vector


def minimise(G: Matrix, m: Vector, s: float, floor: float = -np.inf) -> Minimum:
    """Minimises F over the simplex.

    Args:
        G: Gram matrix, scaled so that its mean diagonal is about 1.
        m: linear term, which is zero for a task without a gradient.
        s: weight of the norm, non-negative.
        floor: what F is known not to fall below; once there, the search ends.
    """
    if not lopsided(*G.diagonal().tolist()):
        return _minimise(G, m, s, floor, None)
    lengths = np.sqrt(np.diag(G))
    unit = float(lengths.min())
    best = _minimise(G / np.outer(lengths, lengths), m / lengths, s, floor, unit / lengths)
    return Minimum(best.w * unit / lengths, best.value * unit, best.norm * unit, best.beta / lengths)


def lopsided(*squares: float) -> bool:
    """Whether the |g_k|^2 of gradients, none of them zero, differ too much to take G as it is."""
    shortest = min(squares)
    return shortest > 0.0 and max(squares) > _SPREAD * shortest


def _minimise(G: Matrix, m: Vector, s: float, floor: float, a: Vector | None) -> Minimum:
    """Minimises F over {w >= 0, a^T w = 1}; None stands for a vector of ones."""
    K = len(G)
    lengths = np.sqrt(np.maximum(np.diag(G), 0.0))
    corners = m + s * lengths if a is None else (m + s * lengths) / a
    first = int(np.argmin(corners))
    support = [first]
    w = np.zeros(K)
    w[first] = 1.0 if a is None else 1.0 / a[first]
    for _ in range(20 * K):
        square = float(w @ G @ w)
        if square > _NOTHING * float(w @ lengths) ** 2:
            norm = float(np.sqrt(square))
            beta = s / norm * w
            value = float(m @ w) + s * norm
            gains = (value if a is None else value * a) - (m + G @ beta)
            entering = [int(np.argmax(gains))]
        else:
            norm = 0.0
            value = float(m @ w)
            beta, entering = _at_kink(G, m, s, w, support, a) if floor < 0.0 else (np.zeros(K), [])
            gains = (value if a is None else value * a) - (m + G @ beta)
        gain = float(gains[entering].max(initial=-np.inf))
        entering = [k for k in entering if k not in support]
        if value <= floor or gain <= _OPEN or not entering:
            break
        support += entering
        w = _descend(G, m, s, w, support, a)
    return Minimum(w, value, norm, beta)


def _at_kink(G: Matrix, m: Vector, s: float, w: Vector, S: list[int], a: Vector | None) -> tuple[Vector, list[int]]:
    """beta where g_w = 0, and the tasks that would lower F.

    Nothing can improve on the tasks of the support, whose hull holds zero. What moves them is spent (beta on S makes
    their slopes equal); the others are minimised over in the same way, orthogonally to the span of the support.
    """
    others = [k for k in range(len(G)) if k not in S]
    GS, cross = G[np.ix_(S, S)], G[np.ix_(S, others)]
    unit = 1.0 / np.sqrt(np.where(np.diag(GS) > 0.0, np.diag(GS), 1.0))[:, None]  # gradients may differ much in length
    level = m @ w if a is None else a[S] * (m @ w)
    sides = unit * np.column_stack([cross, m[S] - level])
    share = unit * np.linalg.lstsq(unit * GS * unit.T, sides, rcond=1e-12)[0]
    onto, spent = share[:, :-1], share[:, -1]
    beta = np.zeros_like(w)
    beta[S] = -spent
    entering: list[int] = []
    left = s * s - float(spent @ GS @ spent)
    if others and left > 0.0:
        own = None if a is None else a[others]
        reduced = G[np.ix_(others, others)] - cross.T @ onto
        rest = _minimise(reduced, m[others] - cross.T @ spent, float(np.sqrt(left)), -np.inf, own)
        beta[others] = rest.beta
        beta[S] -= onto @ rest.beta
        entering = [k for k, share in zip(others, rest.w, strict=True) if share > 0.0]
    return beta, entering


def _descend(G: Matrix, m: Vector, s: float, w: Vector, S: list[int], a: Vector | None) -> Vector:
    """Walks to the minimiser over the hull of `S`, dropping the tasks (in place) whose weight turns zero on the way."""
    if a is not None:
        S.sort(key=a.__getitem__)  # the others are measured from the last one, which must be the shortest
    arrived = False
    while not arrived and len(S) > 1:
        step, arrives_at = _towards_minimiser(G, m, s, w, S, a)
        weights = w[S]
        falling = step < 0.0
        ends = np.full(len(S), np.inf)
        ends[falling] = weights[falling] / -step[falling]
        arrived = arrives_at <= ends.min()
        moved = np.maximum(weights + min(arrives_at, float(ends.min())) * step, 0.0)
        if not arrived:
            moved[int(np.argmin(ends))] = 0.0
        w = np.zeros_like(w)
        w[S] = moved / (moved if a is None else a[S] * moved).sum()
        S[:] = [k for k in S if w[k] > 0.0]
    return w


def _towards_minimiser(
    G: Matrix, m: Vector, s: float, w: Vector, S: list[int], a: Vector | None
) -> tuple[np.ndarray, float]:
    """A direction in the weights of `S` that keeps a^T w, and how far along it the minimiser is: 1, or no end.

    With u the weights of all but the last task, F = const + b^T u + s sqrt((u - c)^T H (u - c) + rest^2). If
    R^2 = b^T H^-1 b < s^2 the minimum is at c - (rest / sqrt(s^2 - R^2)) H^-1 b; else F falls for ever along -H^-1 b.
    """
    GS, mS, weights = G[np.ix_(S, S)], m[S], w[S]
    last, square = GS[-1, :-1], GS[-1, -1]
    top: float = 1.0
    r: Any = 1.0  # or one a number for each of the others
    if a is None:
        H = GS[:-1, :-1] - last[:, None] - last + square
        b = mS[:-1] - mS[-1]
        sides = np.column_stack([square - last, b])
    else:
        top, r = 1.0 / a[S[-1]], a[S[:-1]] / a[S[-1]]
        H = GS[:-1, :-1] - last[:, None] * r - r[:, None] * last + r[:, None] * r * square
        b = mS[:-1] - r * mS[-1]
        sides = np.column_stack([top * (r * square - last), b])
    try:
        centre, fall = np.linalg.solve(H, sides).T
    except np.linalg.LinAlgError:  # tasks that differ by less than float64 can tell
        centre, fall = np.linalg.lstsq(H, sides, rcond=1e-10)[0].T
    R2 = float(b @ fall)
    if s * s <= R2:
        return np.append(-fall, (r * fall).sum()), np.inf
    nearest = np.append(centre, top - (r * centre).sum())
    rest = np.sqrt(max(float(nearest @ GS @ nearest), 0.0))
    step = centre - rest / np.sqrt(s * s - R2) * fall - weights[:-1]
    return np.append(step, -(r * step).sum()), 1.0
