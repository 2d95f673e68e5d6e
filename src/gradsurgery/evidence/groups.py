"""The experiments by problem: one order for every table, figure and section of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.evidence.history import Run

Groups = Mapping[str, Sequence[Run]]
Metrics = Mapping[str, Mapping[str, Any]]


def problems(groups: Groups) -> list[str]:
    """Every problem that was run, sorted."""
    return sorted({group[0].problem for group in groups.values()})


def of(groups: Groups, problem: str) -> dict[str, Sequence[Run]]:
    """The runs of one problem by method."""
    return {groups[name][0].method: groups[name] for name in sorted(groups) if groups[name][0].problem == problem}


def records(metrics: Metrics, problem: str) -> dict[str, Mapping[str, Any]]:
    """The entries of metrics.json of one problem by method."""
    return {metrics[n]["method"]: metrics[n] for n in sorted(metrics) if metrics[n]["problem"] == problem}


def landscape(groups: Groups, problem: str) -> bool:
    """Whether a problem is an analytic landscape, which has no data and no test set."""
    return next(iter(of(groups, problem).values()))[0].trajectory is not None
