"""How one row of metrics is compared with another: the score of an epoch, Delta-m in both published forms, mean ranks.

A metric is named `<task>.<metric>`; `metrics` maps each name to True where higher is better. Every Delta-m here is in
per cent and *lower is better* (the sign of CAGrad, Nash-MTL, FAMO, SAM-GS and DR-MGF); Recon and LibMTL print the
task-averaged one with the opposite sign.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradsurgery.core.ranking import average_ranks

_SMALL = 1e-6  # stands for a metric at or below zero where its logarithm is taken


def score(epoch: Mapping[str, Any], split: str, metrics: Mapping[str, bool]) -> float:
    """How good an epoch is: the higher the better, over all metrics together.

    Metrics of one kind share a scale and are averaged, signed so that higher is better. Several kinds (an error beside
    a similarity) share none: their signed logarithms are averaged, so that equal relative changes count alike.

    Departures:
        1. protocol.md 1.3 selects by validation Delta-m, which needs single-task runs. Both means here order epochs as
           Delta-m does, up to the small differences between the single-task bases and to second order in the changes.

    Args:
        epoch: its row, `<split>.<task>.<metric>`.
        split: "val" or "test".
        metrics: those that count.
    """
    signs = {name: 1.0 if higher else -1.0 for name, higher in metrics.items()}
    values = {name: float(epoch[f"{split}.{name}"]) for name in metrics}
    if len({name.split(".", 1)[1] for name in metrics}) > 1:
        values = {name: math.log(max(value, _SMALL)) for name, value in values.items()}
    return float(np.mean([signs[name] * value for name, value in values.items()]))


def relative_change(
    ours: Mapping[str, float], base: Mapping[str, float], metrics: Mapping[str, bool]
) -> dict[str, float]:
    """Change of each metric against `base`, in per cent of the base, signed so that positive means worse.

    NaN where either side is.

    Raises:
        ValueError: a metric is missing on either side, or its base is zero.
    """
    changes = {}
    for name, higher in metrics.items():
        for label, row in (("ours", ours), ("base", base)):
            if name not in row:
                raise ValueError(f"`{label}` must hold every metric, found none called {name!r}.")
        if base[name] == 0:
            raise ValueError(f"`base` must not be zero where a ratio is taken, found {name} = 0.")
        changes[name] = (-1.0 if higher else 1.0) * 100.0 * (ours[name] - base[name]) / base[name]
    return changes


def delta_m_metric(ours: Mapping[str, float], base: Mapping[str, float], metrics: Mapping[str, bool]) -> float:
    """Mean of the relative changes over all metrics: the form behind the tables of CAGrad and its followers."""
    return float(np.mean(list(relative_change(ours, base, metrics).values())))


def delta_m_task(ours: Mapping[str, float], base: Mapping[str, float], metrics: Mapping[str, bool]) -> float:
    """Mean of the relative changes per task first, then over tasks: the form of Recon and LibMTL, sign turned."""
    changes = relative_change(ours, base, metrics)
    tasks: dict[str, list[float]] = {}
    for name, change in changes.items():
        tasks.setdefault(name.split(".")[0], []).append(change)
    return float(np.mean([np.mean(values) for values in tasks.values()]))


def largest_contributor(ours: Mapping[str, float], base: Mapping[str, float], metrics: Mapping[str, bool]) -> str:
    """The metric that moves the metric-averaged Delta-m most; the first one on a tie."""
    changes = relative_change(ours, base, metrics)
    return max(changes, key=lambda name: abs(changes[name]))


def mean_ranks(rows: Mapping[str, Mapping[str, float]], metrics: Mapping[str, bool]) -> dict[str, float]:
    """Rank of every row on every metric (1 is best, ties share the average), averaged over the metrics.

    Ranks depend on who else is in the table: with n rows they sum to n (n + 1) / 2 whatever the values.

    Raises:
        ValueError: a value is not finite, which has no rank, and would leave no other row one either.
    """
    names = list(rows)
    table = np.array([[rows[n][m] * (-1.0 if higher else 1.0) for m, higher in metrics.items()] for n in names])
    if len(odd := np.argwhere(~np.isfinite(table))):
        row, column = odd[0]
        name, metric = names[row], list(metrics)[column]
        raise ValueError(f"`rows` must be finite to be ranked, found {metric} = {rows[name][metric]} in {name}.")
    ranks = np.stack([average_ranks(column) for column in table.T], axis=1).mean(axis=1)
    return {name: float(rank) for name, rank in zip(names, ranks, strict=True)}
