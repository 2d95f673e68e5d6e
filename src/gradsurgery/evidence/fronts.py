"""Tuned static weights as the baseline: the front they trace for two tasks, and each method's place against it.

For two metrics (x, y), each turned so that more is better, let v = (x + y) / sqrt 2 and u = (x - y) / sqrt 2. Along u
lies what a weight trades, along v what is better for both. The front is v as a function of u, straight between the
weights; a method's distance is how much more v it has than the front at its own u, divided by sqrt 2: what it gains in
both tasks at once. Distances are taken per seed against the front of the same seed, so that what seeds share cancels.

Departures:
    1. The curve goes through all weights, in the order of u, and is not the hull of the best: the hull of noisy points
       lies too far out, and a method would be held against luck.
    2. Few seeds: the bootstrap band over seeds is widened by t / z * sqrt(n / (n - 1)), so that at a weight it is as
       wide as Student's interval. A plain bootstrap of three seeds covers 73 % (`statistics`).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import moocore
import numpy as np
from jaxtyping import Float64
from scipy.special import ndtri, stdtrit

from gradsurgery.evidence.contract import TRACK
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.roles import COPIES
from gradsurgery.evidence.statistics import DRAWS, Summary, summarise

BASELINE = "sum"
LEAST = 3  # weights that make a front
_GRID = 101


@dataclasses.dataclass(frozen=True)
class Front:
    """Static weights and the methods beside them, on one problem with two metrics, as it is drawn and printed.

    Attributes:
        metrics: names of x and y, and whether higher is better; points are signed so that more is better.
        seeds: how many; every static line and every method here has them.
        weights: the static lines, in the order of their first weight.
        points: of the weights, means over seeds.
        grid, band: u, and v of the band's lower end, the front and the band's upper end.
        others: of every other controlled method, mean over seeds.
        areas: by how many per cent of its own the front's dominated area grows when a method joins it, by seed.
    """

    metrics: Mapping[str, bool]
    seeds: int
    weights: Sequence[str]
    points: Sequence[Sequence[float]]
    grid: Sequence[float]
    band: Sequence[Sequence[float]]
    others: Mapping[str, Sequence[float]]
    areas: Mapping[str, Summary]


@dataclasses.dataclass(frozen=True)
class _Seeds:
    """The same seed by seed."""

    seeds: tuple[int, ...]
    points: Float64[np.ndarray, "seeds weights 2"]
    others: Mapping[str, Float64[np.ndarray, "seeds 2"]]


def front(lines: Mapping[str, Line], family: str) -> tuple[Front, list[Contrast]] | None:
    """The front of one problem's lines, and how far every method lies beyond it.

    None without three static weights, two metrics or two seeds in common. A method whose u no weight reaches on some
    seed is held against nothing: there is no front there.
    """
    controlled = {m: line for m, line in lines.items() if line.run.track == TRACK}
    static = {m: line for m, line in controlled.items() if weights_of(line) is not None}
    if len(static) < LEAST or len(next(iter(static.values())).run.metrics) != 2:
        return None
    first = next(iter(static.values()))
    seeds = tuple(sorted(set.intersection(*(set(line.chosen) for line in static.values()))))
    if len(seeds) < 2:
        return None
    order = sorted(static, key=lambda m: (weights_of(static[m]) or (0.0,))[0])
    others = {
        m: points_of(line, seeds)
        for m, line in controlled.items()
        if line.whole and m not in static and line.run.role.kind not in COPIES and set(seeds) <= set(line.chosen)
    }
    found = _Seeds(seeds, np.stack([points_of(static[m], seeds) for m in order], axis=1), others)
    grid, band = _band(found)
    record = Front(
        dict(first.run.metrics), len(seeds), order, found.points.mean(axis=0).tolist(), grid.tolist(), band.tolist(),
        {m: own.mean(axis=0).tolist() for m, own in others.items()}, _areas(found),
    )  # fmt: skip
    made = list[Contrast]()
    for m, own in others.items():
        if gaps := _distances(found, own):
            noise = lines[m].most_noise(static.values())
            made.append(Contrast.by_seed(family, lines[m], "static weights", gaps, noise, higher=True))
    return record, made


def _distances(found: _Seeds, own: Float64[np.ndarray, "seeds 2"]) -> list[float]:
    values = [distance(found.points[s], own[s]) for s in range(len(found.seeds))]
    return [] if any(map(math.isnan, values)) else values


def distance(weights: Float64[np.ndarray, "weights 2"], point: Float64[np.ndarray, "2"]) -> float:
    """What `point` gains over the curve through `weights` in both metrics at once; NaN beyond the curve's ends."""
    u, v = _turned(weights)
    order = np.argsort(u)
    own_u, own_v = _turned(point[None])
    return float(own_v[0] - np.interp(own_u[0], u[order], v[order], left=np.nan, right=np.nan)) / 2**0.5


def _areas(found: _Seeds) -> dict[str, Summary]:
    """0 for a method that is dominated.

    The reference point is the worst value of either metric that any static weight has on any seed. A front that has no
    area on some seed, as one of a single point, has no share to grow by: then there is no entry.
    """
    worst = found.points.reshape(-1, 2).min(axis=0)
    result = {}
    for method, points in found.others.items():
        gains = []
        for s in range(len(found.seeds)):
            alone = moocore.hypervolume(found.points[s], ref=worst, maximise=True)
            joined = moocore.hypervolume(np.vstack([found.points[s], points[s]]), ref=worst, maximise=True)
            gains.append(100.0 * float(joined - alone) / float(alone) if alone else math.nan)
        if not any(map(math.isnan, gains)):
            result[method] = summarise(gains)
    return result


def _band(found: _Seeds) -> tuple[Float64[np.ndarray, " grid"], Float64[np.ndarray, "3 grid"]]:
    """u on a grid, and below it the 95 % band and the mean front: rows low, mean, high of v.

    The grid spans what every resampled front reaches, which is a little less than the front of the means.
    """
    n = len(found.seeds)
    drawn = np.random.default_rng(0).multinomial(n, [1.0 / n] * n, size=DRAWS) / n
    shares, counts = np.unique(drawn, axis=0, return_counts=True)
    resampled = [_turned(np.tensordot(share, found.points, axes=1)) for share in shares]
    grid = np.linspace(max(u.min() for u, _ in resampled), min(u.max() for u, _ in resampled), _GRID)
    curves = np.stack([_curve(grid, u, v) for u, v in resampled])
    middle = _curve(grid, *_turned(found.points.mean(axis=0)))
    widen = float(stdtrit(n - 1, 0.975) / ndtri(0.975) * (n / (n - 1)) ** 0.5)
    low, high = np.quantile(curves, [0.025, 0.975], axis=0, weights=counts, method="inverted_cdf")
    return grid, np.stack([middle + widen * (low - middle), middle, middle + widen * (high - middle)])


def _curve(grid: Float64[np.ndarray, " grid"], u: np.ndarray, v: np.ndarray) -> Float64[np.ndarray, " grid"]:
    order = np.argsort(u)
    return np.interp(grid, u[order], v[order])


def _turned(points: Float64[np.ndarray, "*any 2"]) -> tuple[np.ndarray, np.ndarray]:
    x, y = points[..., 0], points[..., 1]
    return (x - y) / 2**0.5, (x + y) / 2**0.5


def back(u: Float64[np.ndarray, " grid"], v: Float64[np.ndarray, " grid"]) -> Float64[np.ndarray, "grid 2"]:
    """From (u, v) to (x, y)."""
    return np.stack([(v + u) / 2**0.5, (v - u) / 2**0.5], axis=1)


def points_of(line: Line, seeds: Sequence[int]) -> Float64[np.ndarray, "seeds K"]:
    """A line's metrics, signed so that more is better."""
    metrics = line.run.metrics.items()
    return np.array([[line.chosen[s][m] * (1.0 if higher else -1.0) for m, higher in metrics] for s in seeds])


def is_static(line: Line) -> bool:
    """Whether a line is one of the constant weights that are tried out; the sum may weigh its losses too."""
    run = line.run
    return weights_of(line) is not None and run.role.kind == "baseline" and run.method != BASELINE


def is_tried(line: Line) -> bool:
    """Whether static weights are a fair opponent of the line: controlled, for every task, and a network's own."""
    run = line.run
    return run.track == TRACK and line.whole and not is_static(line) and run.role.kind not in (*COPIES, "floor")


def weights_of(line: Line) -> tuple[float, ...] | None:
    """Of a line that adds losses up with static weights and does nothing else."""
    balancer = line.run.declaration.get("balancer", {})
    plain = line.run.declaration.get("aggregator", {}).get("name") in ("sum", "mean")
    return tuple(balancer["weights"]) if balancer.get("name") == "static" and plain else None
