"""Our number for what a published record asks: of one line, or of two paired by seed, with its noise."""

import dataclasses
from typing import Any

import numpy as np

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line, paired
from gradsurgery.evidence.measures import DERIVED, is_derived
from gradsurgery.evidence.statistics import Summary, summarise

CONFLICT = ("conflict_share", "severe_conflict")  # measured on the gradients before surgery, on the logged steps
SEVERE = -0.01  # cosine below which Recon's Table 6 counts a conflict as severe


def contrast_of(line: Line, minus: Line, metric: str, better: str | None) -> Contrast:
    """Two lines of one problem held against each other.

    Args:
        line, minus: of one problem.
        metric: one of the problem's, of `DERIVED`, or `<task>.train_loss`, of the last epoch.
        better: `higher` or `lower`.
    """
    names = f"{line.run.experiment} and {minus.run.experiment}"
    if is_derived(metric):
        own, other = _values(line, metric), _values(minus, metric)
        if not set(own) & set(other):
            raise ValueError(f"`answered_by` must name experiments that share a seed, found none in {names}.")
        summary = summarise(paired(own, other))
        return Contrast(
            "claims", line.run.problem, line.method, minus.method, metric, better == "higher", summary,
            line.budget(minus),
        )  # fmt: skip
    for each in (minus, line):
        _check(each, metric)
    found = Contrast.of("claims", line, minus, metric)
    if found is None:
        raise ValueError(f"`answered_by` must name experiments that share a seed, found none in {names}.")
    return dataclasses.replace(found, higher=better == "higher")


def ends_of(line: Line, minus: Line) -> np.ndarray:
    """Total loss at the end of a descent, line minus the other, start by start."""
    ends = [np.array(side.run.trajectory["losses"][-1] if side.run.trajectory else []) for side in (line, minus)]
    return ends[0].sum(axis=1) - ends[1].sum(axis=1)


def level_of(line: Line, metric: str, noise: float = 0.0) -> Summary:
    """One number per seed, in the metric's own unit; `noise` as for `summarise`."""
    if is_derived(metric):
        return summarise(list(_values(line, metric).values()))
    _check(line, metric)
    return summarise(list(line.values(metric).values()), noise)


def _check(line: Line, metric: str) -> None:
    names = line.names(metric)
    if not names or not set(names) <= set(line.run.own_metrics):
        known = ", ".join(line.run.own_metrics)
        raise ValueError(f"`metric` must be one that {line.run.experiment} has ({known}), found {metric!r}.")


def _values(line: Line, metric: str) -> dict[int, float]:
    return {run.seed: _value(run, metric) for run in line.runs}


def _value(run: Run, metric: str) -> float:
    if metric not in DERIVED or metric == "final_train_loss":
        task = metric.split(".", 1)[0]
        tasks = run.tasks if task in ("all", metric) else [task]
        return float(np.mean([run.epochs[-1][f"train.{task}.loss"] for task in tasks]))
    rows = cosines_of(run)
    if metric == "conflict_share":
        return float(np.mean([row["conflict_share"] for row in rows]))
    if len(run.tasks) != 2:
        raise ValueError(f"`severe_conflict` must be asked of two tasks, found {len(run.tasks)} in {run.experiment}.")
    return float(np.mean([row["mean_cosine"] < SEVERE for row in rows]))  # of two tasks the mean is the cosine


def cosines_of(run: Run) -> list[dict[str, Any]]:
    """The logged steps that hold cosines; rules log other rows beside them."""
    return [row for row in run.diagnostics if row.get("mean_cosine") is not None]
