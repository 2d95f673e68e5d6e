"""The front of static weights for three tasks and more: what it dominates, and what a method adds to it.

Each weighting is a point of K metrics, each turned so that more is better. A front of K >= 3 has no curve to be held
against, as `fronts` has for two tasks; its measure is the volume that it dominates, above the worst value that any
weighting has in each metric on any seed.

Departures:
    1. As in `fronts`, the points are taken as they are, and the bootstrap over seeds is widened by
       t / z * sqrt(n / (n - 1)), because a plain one of three seeds covers 73 %.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import moocore
import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.figure import Figure
from scipy.stats import norm
from scipy.stats import t as student

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import capital, measure, worded
from gradsurgery.evidence.selection import select
from gradsurgery.evidence.statistics import DRAWS, Summary, summarise
from gradsurgery.report.style import canvas, colour, label, look


@dataclasses.dataclass(frozen=True)
class Cloud:
    """Static weightings and the methods beside them, on one problem.

    Attributes:
        metrics: their names, and whether higher is better.
        seeds: those that every weighting and every method here has.
        points: metrics of the weightings, signed so that more is better.
        others: the same of every method.
    """

    metrics: Mapping[str, bool]
    seeds: tuple[int, ...]
    points: Float64[np.ndarray, "seeds weights K"]
    others: Mapping[str, Float64[np.ndarray, "seeds K"]]


def cloud(weighted: Mapping[str, Sequence[Run]], others: Mapping[str, Sequence[Run]], rule: str) -> Cloud | None:
    """The points of one problem; None below two seeds that all weightings share. Methods without them are left out."""
    if not weighted:
        return None
    seeds = tuple(sorted(set.intersection(*({run.seed for run in group} for group in weighted.values()))))
    if len(seeds) < 2:
        return None
    metrics = dict(next(iter(weighted.values()))[0].metrics)
    points = np.stack([_points(weighted[name], seeds, metrics, rule) for name in sorted(weighted)], axis=1)
    beside = {m: _points(g, seeds, metrics, rule) for m, g in others.items() if set(seeds) <= {r.seed for r in g}}
    return Cloud(metrics, seeds, points, beside)


def volume(found: Cloud) -> Summary:
    """Volume that the mean points dominate, with a widened bootstrap interval over seeds."""
    n, worst = len(found.seeds), _worst(found)
    drawn = np.random.default_rng(0).multinomial(n, [1.0 / n] * n, size=DRAWS) / n
    shares, counts = np.unique(drawn, axis=0, return_counts=True)
    values = [_volume(np.tensordot(share, found.points, axes=1), worst) for share in shares]
    middle = _volume(found.points.mean(axis=0), worst)
    low, high = np.quantile(values, [0.025, 0.975], weights=counts, method="inverted_cdf")
    widen = float(student.ppf(0.975, n - 1) / norm.ppf(0.975) * (n / (n - 1)) ** 0.5)
    low, high = (middle + widen * (end - middle) for end in (low, high))
    return Summary(n, middle, None, max(0.0, float(low)), float(high))  # no volume is below zero


def added(found: Cloud) -> dict[str, Summary]:
    """By how many per cent of its own the front's volume grows when a method joins it, seed by seed; 0 if dominated."""
    worst, result = _worst(found), {}
    for method, points in found.others.items():
        gains = []
        for s in range(len(found.seeds)):
            alone = _volume(found.points[s], worst)
            joined = _volume(np.vstack([found.points[s], points[s]]), worst)
            gains.append(100.0 * (joined - alone) / alone)
        result[method] = summarise(gains)
    return result


def dominated(found: Cloud, method: str) -> list[bool]:
    """Seed by seed, whether one weighting is at least as good in every metric and better in one."""
    own = found.others[method][:, None]
    at_least, above = np.all(found.points >= own, axis=2), np.any(found.points > own, axis=2)
    return [bool(beaten) for beaten in np.any(at_least & above, axis=1)]


def table(found: Cloud) -> pd.DataFrame:
    """One row a method: its metrics, on how many seeds the front dominates it, and what it adds to the front."""
    gains, how = added(found), measure(next(iter(found.metrics)))
    rows = []
    for method in sorted(found.others, key=lambda m: -gains[m].mean):
        row: dict[str, object] = {"method": label(method)}
        for k, name in enumerate(found.metrics):
            row[worded(name)] = _told(summarise(found.others[method][:, k].tolist()), how.factor, how.digits)
        beaten = dominated(found, method)
        row["dominated by a weighting"] = f"{sum(beaten)} of {len(beaten)} seeds"
        row["volume added to the front (%)"] = _told(gains[method], 1.0, 2)
        row["n"] = len(found.seeds)
        rows.append(row)
    return pd.DataFrame(rows)


def sentence(found: Cloud) -> str:
    """Which methods no weighting dominates on any seed, which always, which on some; and the front's volume."""
    sides: dict[str, list[str]] = {"never": [], "always": [], "some": []}
    for method in found.others:
        beaten = sum(dominated(found, method))
        sides["never" if beaten == 0 else "always" if beaten == len(found.seeds) else "some"].append(label(method))
    words = {"never": "dominated on no seed", "always": "dominated on every seed", "some": "dominated on some seeds"}
    parts = [f"{capital(words[side])}: {'; '.join(names)}" for side, names in sides.items() if names]
    size, how = volume(found), measure(next(iter(found.metrics)))
    unit = f" {how.step}^{len(found.metrics)}" if how.step else ""
    told = _told(size, how.factor ** len(found.metrics), how.digits)
    text = f"{found.points.shape[1]} weightings dominate a volume of {told}{unit} (n = {size.n} seeds)"
    return f"{'. '.join([text, *parts])}."


def figure(found: Cloud) -> Figure:
    """Neighbouring metrics against each other, and the first against the last: weightings grey, methods in colour."""
    names, how = list(found.metrics), measure(next(iter(found.metrics)))
    pairs = list(dict.fromkeys([*((k, k + 1) for k in range(len(names) - 1)), (0, len(names) - 1)]))
    signs = np.array([1.0 if higher else -1.0 for higher in found.metrics.values()])
    weights = found.points.mean(axis=0) * signs * how.factor
    with look():
        drawn = canvas(3.2 * len(pairs), 3.6)
        panels = drawn.subplots(1, len(pairs), squeeze=False)[0]
        for axes, (x, y) in zip(panels, pairs, strict=True):
            axes.plot(weights[:, x], weights[:, y], "s", color=colour("static"), markersize=4, label="static weights")
            for method, points in found.others.items():
                middle = [how.factor * signs[k] * summarise(points[:, k].tolist()).mean for k in (x, y)]
                reach = [_half(summarise(points[:, k].tolist())) * how.factor for k in (x, y)]
                axes.errorbar(
                    *middle, xerr=reach[0], yerr=reach[1], fmt="o", color=colour(method), markersize=5, linewidth=1.0,
                    label=label(method),
                )  # fmt: skip
            axes.set_xlabel(worded(names[x]))
            axes.set_ylabel(worded(names[y]))
        handles, texts = panels[0].get_legend_handles_labels()
        drawn.legend(handles, texts, loc="outside lower center", ncols=4, frameon=False)
    return drawn


def _volume(points: Float64[np.ndarray, "points K"], worst: Float64[np.ndarray, " K"]) -> float:
    return float(moocore.hypervolume(points, ref=worst, maximise=True))


def _worst(found: Cloud) -> Float64[np.ndarray, " K"]:
    return found.points.reshape(-1, len(found.metrics)).min(axis=0)


def _points(group: Sequence[Run], seeds: Sequence[int], metrics: Mapping[str, bool], rule: str) -> np.ndarray:
    chosen = {run.seed: select(run, rule) for run in group}
    return np.array([[chosen[s][m] * (1.0 if higher else -1.0) for m, higher in metrics.items()] for s in seeds])


def _half(summary: Summary) -> float:
    return 0.0 if summary.low is None or summary.high is None else (summary.high - summary.low) / 2


def _told(summary: Summary, factor: float, digits: int) -> str:
    numbers = [factor * v for v in (summary.mean, summary.low, summary.high) if v is not None]
    if numbers[0] < 0 and all(v < 0 for v in numbers):  # the level of a metric where less is better
        numbers = [-numbers[0], *sorted(-v for v in numbers[1:])]
    text = [f"{value:.{digits}f}" for value in numbers]
    return text[0] if len(text) == 1 else f"{text[0]} [{text[1]}, {text[2]}]"
