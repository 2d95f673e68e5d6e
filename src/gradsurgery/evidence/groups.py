"""The experiments by problem: one order for every table, figure and section of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.evidence.history import Run

HOUSE = ("baselines", "controls")  # families that are no paper's
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


def studied(groups: Groups) -> frozenset[str]:
    """The methods of papers, and the sum that they are held against: what figures put in front."""
    runs = [group[0] for group in groups.values()]
    return frozenset(run.method for run in runs if run.family not in HOUSE or run.method == "sum")


def joint(runs: Groups) -> dict[str, Sequence[Run]]:
    """Those that train all tasks of their problem epoch by epoch: no single task, no floor, which is fitted at once."""
    return {m: g for m, g in runs.items() if g[0].own_metrics == g[0].metrics and g[0].role.kind != "floor"}


def weighted(runs: Groups) -> list[str]:
    """The baselines that are tried out with constant weights of the losses."""
    lines = {m: g[0] for m, g in runs.items() if g[0].role.kind == "baseline" and m != "sum"}
    return [m for m, run in lines.items() if run.declaration.get("balancer", {}).get("name") == "static"]


def landscape(groups: Groups, problem: str) -> bool:
    """Whether a problem is an analytic landscape, which has no data and no test set."""
    return next(iter(of(groups, problem).values()))[0].trajectory is not None
