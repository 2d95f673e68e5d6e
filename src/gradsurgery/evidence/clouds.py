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
from jaxtyping import Float64
from scipy.stats import norm
from scipy.stats import t as student

from gradsurgery.evidence.fronts import points_of
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.statistics import DRAWS, Summary, summarise

Points = Float64[np.ndarray, "seeds weights K"]


@dataclasses.dataclass(frozen=True)
class Beside:
    """One method beside the weightings.

    Attributes:
        levels: of every metric, signed so that more is better.
        dominated: on how many seeds one weighting is at least as good in every metric and better in one.
        added: by how many per cent of its own the front's volume grows when the method joins it; 0 if dominated.
    """

    levels: Sequence[Summary]
    dominated: int
    added: Summary


@dataclasses.dataclass(frozen=True)
class Cloud:
    """Static weightings and the methods beside them, on one problem, as it is drawn and printed.

    Attributes:
        metrics: their names, and whether higher is better.
        seeds: how many; every weighting and every method here has them.
        points: of the weightings, means over seeds, signed so that more is better.
        volume: that the mean points dominate, with a widened bootstrap interval over seeds.
    """

    metrics: Mapping[str, bool]
    seeds: int
    points: Sequence[Sequence[float]]
    volume: Summary
    methods: Mapping[str, Beside]


def cloud(weighted: Mapping[str, Line], others: Mapping[str, Line]) -> Cloud | None:
    """The points of one problem; None below two seeds that all weightings share. Methods without them are left out."""
    if not weighted:
        return None
    seeds = tuple(sorted(set.intersection(*(set(line.chosen) for line in weighted.values()))))
    if len(seeds) < 2:
        return None
    points = np.stack([points_of(weighted[name], seeds) for name in sorted(weighted)], axis=1)
    worst = points.reshape(-1, points.shape[-1]).min(axis=0)
    beside = {m: points_of(line, seeds) for m, line in others.items() if set(seeds) <= set(line.chosen)}
    return Cloud(
        dict(next(iter(weighted.values())).run.metrics), len(seeds), points.mean(axis=0).tolist(),
        _dominated_volume(points, worst), {m: _beside(points, own, worst) for m, own in beside.items()},
    )  # fmt: skip


def _beside(points: Points, own: Float64[np.ndarray, "seeds K"], worst: Float64[np.ndarray, " K"]) -> Beside:
    gains = []
    for weights, point in zip(points, own, strict=True):
        alone, joined = _volume(weights, worst), _volume(np.vstack([weights, point]), worst)
        gains.append(100.0 * (joined - alone) / alone)
    at_least, above = np.all(points >= own[:, None], axis=2), np.any(points > own[:, None], axis=2)
    beaten = int(np.any(at_least & above, axis=1).sum())
    return Beside([summarise(column.tolist()) for column in own.T], beaten, summarise(gains))


def _dominated_volume(points: Points, worst: Float64[np.ndarray, " K"]) -> Summary:
    n = len(points)
    drawn = np.random.default_rng(0).multinomial(n, [1.0 / n] * n, size=DRAWS) / n
    shares, counts = np.unique(drawn, axis=0, return_counts=True)
    values = [_volume(np.tensordot(share, points, axes=1), worst) for share in shares]
    middle = _volume(points.mean(axis=0), worst)
    low, high = np.quantile(values, [0.025, 0.975], weights=counts, method="inverted_cdf")
    widen = float(student.ppf(0.975, n - 1) / norm.ppf(0.975) * (n / (n - 1)) ** 0.5)
    low, high = (middle + widen * (end - middle) for end in (low, high))
    return Summary(n, middle, None, max(0.0, float(low)), float(high))  # no volume is below zero


def _volume(points: Float64[np.ndarray, "points K"], worst: Float64[np.ndarray, " K"]) -> float:
    return float(moocore.hypervolume(points, ref=worst, maximise=True))
