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
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm
from scipy.stats import t as student

from gradsurgery.evidence.contract import TRACK, watching
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import measure, worded
from gradsurgery.evidence.selection import select
from gradsurgery.evidence.statistics import DRAWS, Comparison, Summary, compare, summarise
from gradsurgery.report.style import canvas, colour, label, look, studied

_LEAST = 3  # weights that make a front
_GRID = 101


@dataclasses.dataclass(frozen=True)
class Front:
    """Static weights and the methods beside them, on one problem with two metrics.

    Attributes:
        metrics: names of x and y, and whether higher is better.
        seeds: those that every static line and every method here has.
        weights: methods' names of the static lines, in the order of their first weight.
        points: their metrics, signed so that more is better.
        others: the same of every other controlled method.
    """

    metrics: Mapping[str, bool]
    seeds: tuple[int, ...]
    weights: tuple[str, ...]
    points: Float64[np.ndarray, "seeds weights 2"]
    others: Mapping[str, Float64[np.ndarray, "seeds 2"]]


def front(runs: Mapping[str, Sequence[Run]], rule: str) -> Front | None:
    """The front of one problem's runs by method; None without three static weights, two metrics or two seeds in common.

    Args:
        runs: of one problem, by method.
        rule: the problem's selection rule.
    """
    controlled = {m: group for m, group in runs.items() if group[0].track == TRACK}
    static = {m: group for m, group in controlled.items() if _weights(group) is not None}
    if len(static) < _LEAST or len(next(iter(static.values()))[0].metrics) != 2:
        return None
    metrics = next(iter(static.values()))[0].metrics
    whole = {m: group for m, group in controlled.items() if list(group[0].own_metrics) == list(metrics)}
    seeds = tuple(sorted(set.intersection(*({run.seed for run in group} for group in static.values()))))
    if len(seeds) < 2:
        return None
    order = sorted(static, key=lambda m: (_weights(static[m]) or (0.0,))[0])
    points = np.stack([_points(static[m], seeds, metrics, rule) for m in order], axis=1)
    others = {
        m: _points(group, seeds, metrics, rule)
        for m, group in whole.items()
        if m not in static and not watching(m) and set(seeds) <= {run.seed for run in group}
    }
    return Front(dict(metrics), seeds, tuple(order), points, others)


def distances(found: Front) -> dict[str, Comparison]:
    """How far each method lies beyond the front, per seed against that seed's front, corrected for how many there are.

    A method whose u no weight reaches on some seed is left out: there is no front to be held against.
    """
    inside = {}
    for method, points in found.others.items():
        values = [distance(found.points[s], points[s]) for s in range(len(found.seeds))]
        if not any(np.isnan(values)):
            inside[method] = values
    return compare(inside)


def distance(weights: Float64[np.ndarray, "weights 2"], point: Float64[np.ndarray, "2"]) -> float:
    """What `point` gains over the curve through `weights` in both metrics at once; NaN beyond the curve's ends."""
    u, v = _turned(weights)
    order = np.argsort(u)
    own_u, own_v = _turned(point[None])
    return float(own_v[0] - np.interp(own_u[0], u[order], v[order], left=np.nan, right=np.nan)) / 2**0.5


def hypervolumes(found: Front) -> dict[str, Summary]:
    """By how many per cent of its own the front's dominated area grows when a method joins it; 0 if it is dominated.

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


def band(found: Front) -> tuple[Float64[np.ndarray, " grid"], Float64[np.ndarray, "3 grid"]]:
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
    widen = float(student.ppf(0.975, n - 1) / norm.ppf(0.975) * (n / (n - 1)) ** 0.5)
    low, high = np.quantile(curves, [0.025, 0.975], axis=0, weights=counts, method="inverted_cdf")
    return grid, np.stack([middle + widen * (low - middle), middle, middle + widen * (high - middle)])


def table(found: Front) -> pd.DataFrame:
    """One row per method: its distance to the front, whether that stands after Holm, and the area it adds."""
    compared, areas = distances(found), hypervolumes(found)
    how = measure(next(iter(found.metrics)))
    rows = []
    for method in sorted(found.others, key=lambda m: -compared[m].difference.mean if m in compared else 9.9):
        entry = compared.get(method)
        values = [how.factor * abs(float(value)) for value in found.others[method].mean(axis=0)]
        rows.append({
            "method": label(method),
            **{worded(name): f"{value:.{how.digits}f}" for name, value in zip(found.metrics, values, strict=True)},
            f"beyond the static front, both tasks{f' ({how.step})' if how.step else ''}":
                _say(entry.difference, how.factor, how.digits) if entry else "beyond the weights' ends",
            "p after Holm": f"{entry.p_holm:.3f}" if entry and entry.p_holm is not None else "-",
            "seeds beyond it": f"{entry.improved:g} of {entry.difference.n}" if entry else "-",
            "area added to the front (%)": _say(areas[method], 1.0, 2, signed=False) if method in areas else "-",
            "n": len(found.seeds),
        })  # fmt: skip
    return pd.DataFrame(rows)


def figure(found: Front) -> Figure:
    """The front with its band and the methods in the plane of the two metrics, whole and enlarged; the distances."""
    compared = distances(found)
    how = measure(next(iter(found.metrics)))
    order = sorted(compared, key=lambda m: compared[m].difference.mean)
    with look():
        drawn = canvas(9.4, max(6.0, 1.2 + 0.24 * len(order)))
        panels = drawn.subplot_mosaic([["whole", "line"], ["near", "line"]], width_ratios=[1.15, 1.0])
        for name in ("whole", "near"):
            _plane(panels[name], found, how.factor)
        _enlarge(panels["near"], found, how.factor)
        panels["whole"].legend(loc="lower left", frameon=False)
        panels["whole"].set_title("all weights")
        panels["near"].set_title("where the methods are")
        line = panels["line"]
        line.axvline(0.0, color=colour("static"), linewidth=1.2)
        for height, method in enumerate(order):
            low, high = compared[method].difference.low, compared[method].difference.high
            if low is not None and high is not None:
                line.plot([how.factor * low, how.factor * high], [height] * 2, "-", color=colour(method), linewidth=2.0)
            line.plot(how.factor * compared[method].difference.mean, height, "o", color=colour(method), markersize=5)
        line.set_yticks(range(len(order)), [label(m) for m in order])
        line.set_xlabel(f"beyond the static front, in both tasks{f' ({how.step})' if how.step else ''}")
    return drawn


def sentence(found: Front, noise: float = 0.0) -> str:
    """Which methods lie beyond the front, or inside it, after Holm's correction; the others cannot be told from it.

    Args:
        found: the front.
        noise: what the size of the test set alone can move a mean over the two tasks by, in the metric's own unit.
    """
    compared = distances(found)
    how = measure(next(iter(found.metrics)))
    names: dict[str, list[str]] = {"beyond": [], "inside": [], "same": []}
    for method, entry in compared.items():
        side = "same" if not entry.separates(noise) else "beyond" if entry.difference.mean > 0 else "inside"
        told = f"{label(method)} ({_say(entry.difference, how.factor, how.digits)})"
        names[side].append(label(method) if side == "same" else told)
    parts = [f"beyond the front of static weights: {'; '.join(names['beyond'])}"] if names["beyond"] else []
    parts += [f"inside it: {'; '.join(names['inside'])}"] if names["inside"] else []
    parts += [f"not told from it: {'; '.join(names['same'])}"] if names["same"] else []
    text = ". ".join(part[0].upper() + part[1:] for part in parts)
    tested = f"{len(found.weights)} weights, n = {len(found.seeds)} seeds, Holm over {len(compared)} methods"
    return f"{text} ({tested})." if parts else f"No method lies between the ends of the front ({tested})."


def _plane(axes: Axes, found: Front, factor: float) -> None:
    signs = np.array([1.0 if higher else -1.0 for higher in found.metrics.values()])
    grid, (low, middle, high) = band(found)
    edge = np.concatenate([_back(grid, low), _back(grid, high)[::-1]]) * signs * factor
    axes.fill(*edge.T, color=colour("static"), alpha=0.25, linewidth=0, label="static weights, 95 %")
    axes.plot(*(_back(grid, middle) * signs * factor).T, "-", color=colour("static"), linewidth=1.2)
    axes.plot(*(found.points.mean(axis=0) * signs * factor).T, "s", color=colour("static"), markersize=3.5)
    for method, points in found.others.items():
        size = 5 if studied(method) else 3.5
        axes.plot(*(points.mean(axis=0) * signs * factor), "o", color=colour(method), markersize=size)
    first, second = found.metrics
    axes.set_xlabel(worded(first))
    axes.set_ylabel(worded(second))


def _enlarge(axes: Axes, found: Front, factor: float) -> None:
    """Around the middle of the methods, as far as most of them reach."""
    means = factor * np.abs([points.mean(axis=0) for points in found.others.values()])
    middle = np.median(means, axis=0)
    reach = np.maximum(1.3 * np.quantile(np.abs(means - middle), 0.9, axis=0), 0.01 * factor)
    axes.set_xlim(middle[0] - reach[0], middle[0] + reach[0])
    axes.set_ylim(middle[1] - reach[1], middle[1] + reach[1])


def _curve(grid: Float64[np.ndarray, " grid"], u: np.ndarray, v: np.ndarray) -> Float64[np.ndarray, " grid"]:
    order = np.argsort(u)
    return np.interp(grid, u[order], v[order])


def _turned(points: Float64[np.ndarray, "*any 2"]) -> tuple[np.ndarray, np.ndarray]:
    x, y = points[..., 0], points[..., 1]
    return (x - y) / 2**0.5, (x + y) / 2**0.5


def _back(u: Float64[np.ndarray, " grid"], v: Float64[np.ndarray, " grid"]) -> Float64[np.ndarray, "grid 2"]:
    return np.stack([(v + u) / 2**0.5, (v - u) / 2**0.5], axis=1)


def _points(group: Sequence[Run], seeds: Sequence[int], metrics: Mapping[str, bool], rule: str) -> np.ndarray:
    chosen = {run.seed: select(run, rule) for run in group}
    return np.array([[chosen[s][m] * (1.0 if higher else -1.0) for m, higher in metrics.items()] for s in seeds])


def _weights(group: Sequence[Run]) -> tuple[float, ...] | None:
    balancer = group[0].declaration.get("balancer", {})
    plain = group[0].declaration.get("aggregator", {}).get("name") in ("sum", "mean")
    return tuple(balancer["weights"]) if balancer.get("name") == "static" and plain else None


def _say(summary: Summary, factor: float, digits: int, signed: bool = True) -> str:
    sign = "+" if signed else ""
    text = f"{factor * summary.mean:{sign}.{digits}f}"
    if summary.low is None or summary.high is None:
        return text
    return f"{text} [{factor * summary.low:{sign}.{digits}f}, {factor * summary.high:{sign}.{digits}f}]"
