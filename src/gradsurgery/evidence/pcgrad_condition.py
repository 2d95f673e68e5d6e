"""How often PCGrad's three-part condition can hold: two tasks, judged from what the histories record.

Theorem 2 of Yu et al. 2020 (arXiv 2001.06782): for two tasks with cosine c < 0 and magnitude similarity Phi, one step
of length t along PCGrad's direction ends at no higher a loss L1 + L2 than one along g1 + g2 if

    (a)  c <= -Phi
    (b)  l >= xi L,      xi = (1 - c^2) |g1 - g2|^2 / |g1 + g2|^2
    (c)  t >= 2 / (l - xi L)

where L is the Lipschitz constant of the gradient and l at most the curvature of L1 + L2 along g1 + g2 over the step.
xi = (1 - c^2) (1 - Phi c) / (1 + Phi c): the square of the length of PCGrad's direction over that of the sum.

L is not known, but l <= L, so that what follows is implied and can be judged, step by step:

    (b)  xi <= 1 and a positive curvature.  With c < 0, xi <= 1 is |c| >= Phi (2 - c^2), which contains (a).
    (c)  t times the curvature along the sum is at least 2: even the plain step overshoots along its own direction. Only
         where the optimiser is SGD; t is the run's largest learning rate, over 1 - momentum. Adam's steps have no t.

So the shares are upper bounds. Two departures: l is taken at the step's start (the limit of small steps; the paper
averages over the step), and in a line that is not trained on the sum the curvature is that along its own direction.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.special import betaincinv

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.observed import COSINE, CURVATURE, SIMILARITY
from gradsurgery.evidence.statistics import summarise

METHODS = ("sum", "pcgrad")  # that are asked
PARTS = ("conflict", "a", "b", "bends", "c")  # each is judged together with those before it


@dataclasses.dataclass(frozen=True)
class Share:
    """The share of steps, mean of seeds, and how many they are.

    The interval is t over seeds; where all seeds have all or none of their steps, it is the exact one (Clopper-Pearson)
    of all steps, taken as independent.
    """

    mean: float
    low: float | None
    high: float | None
    count: int
    steps: int


def xi(c: Float64[np.ndarray, " steps"], phi: Float64[np.ndarray, " steps"]) -> Float64[np.ndarray, " steps"]:
    """|PCGrad's direction|^2 / |g1 + g2|^2 of two conflicting gradients; infinite where they cancel."""
    rest = 1.0 + phi * c
    top = (1.0 - c**2) * (1.0 - phi * c)
    return np.divide(top, rest, out=np.full_like(rest, np.inf), where=rest > 0.0)


def shares(group: Sequence[Run]) -> dict[str, Share]:
    """Of every part that can be judged, each together with those before it; nothing unless there are two tasks."""
    if len(group[0].tasks) != 2:
        return {}
    held = [_held(run) for run in group]
    if not all(held):
        return {}
    common = [part for part in PARTS if all(part in each for each in held)]
    return {part: _share([each[part] for each in held]) for part in common}


def _held(run: Run) -> dict[str, np.ndarray]:
    rows = [row for row in run.diagnostics if row.get(COSINE) is not None and row.get(SIMILARITY) is not None]
    if not rows:
        return {}
    c, phi = (np.array([row[key] for row in rows], dtype=float) for key in (COSINE, SIMILARITY))
    held = {"conflict": c < 0.0}
    held["a"] = held["conflict"] & (c <= -phi)
    held["b"] = held["a"] & (xi(c, phi) <= 1.0)
    if all(row.get(CURVATURE) is not None for row in rows):
        bend = np.array([row[CURVATURE] for row in rows], dtype=float)
        held["bends"] = held["b"] & (bend > 0.0)
        length = step_length(run.declaration.get("settings", {}))
        if length is not None:
            # the sum's curvature is K times that of the mean loss
            held["c"] = held["bends"] & (length * len(run.tasks) * bend >= 2.0)
    return held


def step_length(settings: Mapping[str, Any]) -> float | None:
    """The largest t of a run; None for an optimiser that has none."""
    if settings.get("optimizer") != "sgd" or "lr" not in settings:
        return None
    return float(settings["lr"]) / (1.0 - float(settings.get("momentum", 0.0)))


def _share(held: Sequence[np.ndarray]) -> Share:
    count, steps = int(sum(each.sum() for each in held)), sum(len(each) for each in held)
    summary = summarise([float(each.mean()) for each in held])
    if not summary.sd:
        low = float(betaincinv(count, steps - count + 1, 0.025)) if count else 0.0
        high = float(betaincinv(count + 1, steps - count, 0.975)) if count < steps else 1.0
        return Share(summary.mean, low, high, count, steps)
    assert summary.low is not None
    assert summary.high is not None
    return Share(summary.mean, max(summary.low, 0.0), min(summary.high, 1.0), count, steps)
