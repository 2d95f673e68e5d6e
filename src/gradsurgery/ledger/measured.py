"""Our number for what a published record asks: of one experiment, or of two paired by seed, with its noise."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import Measure, by_word, measure
from gradsurgery.evidence.noise import auc_noise, classes_of
from gradsurgery.evidence.selection import select
from gradsurgery.evidence.statistics import Summary, summarise, test_noise

Metrics = Mapping[str, Mapping[str, Any]]

CONFLICT = ("conflict_share", "severe_conflict")  # measured on the gradients before surgery, on the logged steps
SEVERE = -0.01  # cosine below which Recon's Table 6 counts a conflict as severe


# What an answer may name beside a problem's own metrics; measured on every run that has it.
_DERIVED = {
    "end_total": Measure("total loss at the end", 1.0, 1, "", ""),
    "final_train_loss": Measure("training loss at the end", 1.0, 3, "", ""),
    "conflict_share": Measure("pairs in conflict", 100.0, 1, "%", "points"),
    "severe_conflict": Measure("steps in severe conflict", 100.0, 1, "%", "points"),
}


def difference_of(runs: Sequence[Run], others: Sequence[Run], metric: str, metrics: Metrics) -> Summary:
    """Difference of two experiments in the unit that papers print, paired by seed, or by start for `end_total`."""
    if metric == "end_total":
        ends = [np.array(r[0].trajectory["losses"][-1] if r[0].trajectory else []).sum(axis=1) for r in (runs, others)]
        return summarise((ends[0] - ends[1]).tolist())
    theirs = {run.seed: _value(run, metric, metrics) for run in others}
    shared = [run for run in runs if run.seed in theirs]
    if not shared:
        names = f"{runs[0].experiment} and {others[0].experiment}"
        raise ValueError(f"`answered_by` must name experiments that share a seed, found none in {names}.")
    return summarise([_value(run, metric, metrics) - theirs[run.seed] for run in shared])


def noise_of(run: Run, other: Run, metric: str, metrics: Metrics, classes: tuple[int, int] | None = None) -> float:
    """What the test set's size alone can move a difference by, in the unit of `difference_of`; 0 where it is not known.

    Known for accuracies on a test set of known size, and for an AUC whose positives and negatives are known.
    """
    size = run.test_size if metric.startswith("all.") else run.examples(metric.split(".")[0])
    classes = classes or classes_of(run, metric.split(".")[0])
    known = size if metric.endswith(".accuracy") else classes if metric.endswith(".auc") else None
    if known is None:
        return 0.0
    names = _names(run, metric)
    means = [float(np.mean([metrics[each.experiment][name]["mean"] for name in names])) for each in (run, other)]
    if isinstance(known, tuple):
        return auc_noise(means, *known)
    return 100 * test_noise([(means[0], means[1])], known)  # tasks as fully dependent: an upper bound


def _names(run: Run, metric: str) -> list[str]:
    """`all.accuracy` stands for the accuracies of all tasks, unless there is a task called so."""
    if metric in run.own_metrics or not metric.startswith("all."):
        return [metric]
    return by_word(run.own_metrics).get(metric.removeprefix("all."), [])


def shown(metric: str) -> Measure:
    """How a problem's own or a derived metric is printed."""
    return _DERIVED.get(metric) or measure(metric)


def values_of(runs: Sequence[Run], metric: str, metrics: Metrics) -> list[float]:
    """One number per seed, in the unit that papers print."""
    return [_value(run, metric, metrics) for run in runs]


def _value(run: Run, metric: str, metrics: Metrics) -> float:
    """One run's number in the unit that papers print."""
    factor = shown(metric).factor
    if metric == "final_train_loss":
        return float(np.mean([run.epochs[-1][f"train.{task}.loss"] for task in run.tasks]))
    if metric in CONFLICT:
        return factor * _conflict(run, metric)
    chosen, names = select(run, metrics[run.experiment]["selection"]), _names(run, metric)
    if not names or any(name not in chosen for name in names):
        raise ValueError(f"`metric` must be one that {run.experiment} has ({', '.join(chosen)}), found {metric!r}.")
    return factor * float(np.mean([chosen[name] for name in names]))


def cosines_of(run: Run) -> list[dict[str, Any]]:
    """The logged steps that hold cosines; rules log other rows beside them."""
    return [row for row in run.diagnostics if row.get("mean_cosine") is not None]


def _conflict(run: Run, metric: str) -> float:
    rows = cosines_of(run)
    if metric == "conflict_share":
        return float(np.mean([row["conflict_share"] for row in rows]))
    if len(run.tasks) != 2:
        raise ValueError(f"`severe_conflict` must be asked of two tasks, found {len(run.tasks)} in {run.experiment}.")
    return float(np.mean([row["mean_cosine"] < SEVERE for row in rows]))  # of two tasks the mean is the cosine


def told(summary: Summary, metric: str, signed: bool = True) -> str:
    """`+0.21 [+0.08, +0.34] (n = 3)`."""
    sign, digits = "+" if signed else "", shown(metric).digits
    text = f"{summary.mean:{sign}.{digits}f}"
    if summary.low is None:
        return f"{text} (n = {summary.n})"
    return f"{text} [{summary.low:{sign}.{digits}f}, {summary.high:{sign}.{digits}f}] (n = {summary.n})"
