"""The published methods that a direction can be held against, as formulas and certificates of its own.

Nothing here is shared with `aggregators/`: for two tasks the direction has a closed form, written down from geometry;
for any number of them the min-norm problem and CAGrad's have a dual, whose value no direction can exceed.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from gradsurgery.core.discovery import did_you_mean
from gradsurgery.core.simplex import minimise

Rows = Float64[np.ndarray, "K P"]
Vector = Float64[np.ndarray, " P"]


@dataclass(frozen=True)
class Identity:
    """A published method by name, with the numbers that its problem depends on (CAGrad's `c`).

    Raises ValueError for a name without a formula, or for other numbers.
    """

    name: str
    options: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(
                f"`as` must name one of {', '.join(NAMES)}, found {self.name!r}{did_you_mean(self.name, NAMES)}"
            )
        wanted = {"c"} if self.name == "cagrad" else set()
        if set(self.options) != wanted or not all(0.0 <= c < math.inf for c in self.options.values()):
            needs = "one non-negative number c, as in cagrad:c=0.5" if wanted else "no numbers"
            raise ValueError(f"`as` must give {self.name} {needs}, found {dict(self.options)}.")


def parse(text: str) -> Identity:
    """`mgda`, or `cagrad:c=0.4`. Raises ValueError."""
    name, _, rest = text.partition(":")
    try:
        options = {key: float(value) for key, _, value in (part.partition("=") for part in rest.split(",") if part)}
    except ValueError:
        raise ValueError(f"`as` must be a method and its numbers, such as cagrad:c=0.4, found {text!r}.") from None
    return Identity(name, options)


def two_tasks(identity: Identity, J: Rows) -> Vector:
    """The direction for two gradients (2, P) that are neither zero nor parallel, up to a positive factor."""
    g, h = J
    if identity.name == "cagrad":
        return _cagrad(g, h, identity.options["c"])
    return _TWO[identity.name](g, h)


def certificate(identity: Identity, J: Rows, d: Vector, unit: float) -> float:
    """How much more the worst-off task could gain than d, up to a factor, lets it, beside `unit`; 0 for the optimum.

    An upper bound by weak duality: the weights that give it come from a solver, but no weights give too small a bound.
    """
    lengths = np.sqrt((J * J).sum(axis=1))
    length = float(np.linalg.norm(d))
    if identity.name == "mgda":
        # |p| = max over unit vectors u of min_k <g_k, u>, p the shortest vector of the hull
        w = _weights(J, np.zeros(len(J)), 1.0)
        shortest = float(np.linalg.norm(w @ J))
        if shortest <= 1e-7 * float(w @ lengths):
            return length / unit
        return (shortest - (float((J @ d).min()) / length if length > 0.0 else 0.0)) / unit
    g0 = J.mean(axis=0)
    s = identity.options["c"] * float(np.linalg.norm(g0))
    w = _weights(J, J @ g0, s)
    bound = float(w @ (J @ g0)) + s * float(np.linalg.norm(w @ J))
    return min(_shortfall(J, t * d, g0, s, bound) for t in _onto_ball(d, g0, s)) / unit**2


def _shortfall(J: Rows, d: Vector, g0: Vector, s: float, bound: float) -> float:
    outside = max(0.0, float(np.linalg.norm(d - g0)) - s) * float(np.linalg.norm(J, axis=1).max())
    return max(0.0, bound - float((J @ d).min())) + outside


def _onto_ball(d: Vector, g0: Vector, s: float) -> list[float]:
    """Factors t >= 0 at which t d meets the sphere of radius s around g0, or comes nearest to it."""
    square, along = float(d @ d), float(d @ g0)
    if square == 0.0:
        return [0.0]
    rest = along**2 - square * (float(g0 @ g0) - s * s)
    root = math.sqrt(max(rest, 0.0))
    return [max(0.0, (along + sign * root) / square) for sign in (1.0, -1.0)] + [0.0]


def _weights(J: Rows, m: Float64[np.ndarray, " K"], s: float) -> Float64[np.ndarray, " K"]:
    G = J @ J.T
    unit = float(np.trace(G)) / len(J)
    w: Float64[np.ndarray, " K"] = minimise(G / unit, m / unit, s / math.sqrt(unit)).w
    return w


def _unit(g: Vector) -> Vector:
    return g / np.linalg.norm(g)


def _off(g: Vector, h: Vector) -> Vector:
    """g without its part along h, if that opposes h."""
    inner = float(g @ h)
    return g - inner / float(h @ h) * h if inner < 0.0 else g


def _mgda(g: Vector, h: Vector) -> Vector:
    x = min(max(float((h - g) @ h) / float((g - h) @ (g - h)), 0.0), 1.0)
    return x * g + (1.0 - x) * h


def _dualproj(g: Vector, h: Vector) -> Vector:
    mean = 0.5 * (g + h)
    return _off(mean, g if mean @ g < mean @ h else h)


def _cagrad(g: Vector, h: Vector, c: float) -> Vector:
    """Where the ball's farthest point along one gradient serves that task worse, it is the answer; else both alike."""
    g0 = 0.5 * (g + h)
    s = c * float(np.linalg.norm(g0))
    for own, other in ((g, h), (h, g)):
        d = g0 + s * _unit(own)
        if own @ d <= other @ d:
            return d
    between = _unit(g - h)
    alpha = -float(between @ g0) / s
    both = g - (between @ g) * between
    return g0 + s * (alpha * between + math.sqrt(max(0.0, 1.0 - alpha**2)) * _unit(both))


_TWO: Mapping[str, Callable[[Vector, Vector], Vector]] = {
    "mean": lambda g, h: g + h,
    "sum": lambda g, h: g + h,
    "mgda": _mgda,
    "pcgrad": lambda g, h: _off(g, h) + _off(h, g),
    "upgrad": lambda g, h: _off(g, h) + _off(h, g),  # the cone of two half-spaces: one projection is enough
    "dualproj": _dualproj,
    "imtl_g": lambda g, h: _unit(g) + _unit(h),  # equal projections on both, and weights that add up to 1
    "nash_mtl": lambda g, h: _unit(g) + _unit(h),  # G a = 1 / a has a_k = t / |g_k|
    "config": lambda g, h: _unit(g) + _unit(h),
}
NAMES = (*_TWO, "cagrad")
CERTIFIED = ("mgda", "cagrad")
