"""A network with several exits in one picture: accuracy at each exit, and what every pass over the data brought."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gradsurgery.core.metrics import score
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.statistics import Summary, summarise
from gradsurgery.report.style import canvas, colour, label, line, look
from gradsurgery.report.tables import Metrics, summary_of

_NAMES = {
    "sum": "joint training", "dr_mgf-average": "DR-avgF", "dr_mgf-meta_gf": "Meta-GF",
    "dr_mgf-no_gate": "DR-MGF, gate off",
}  # fmt: skip
_SIDE = 0.09  # between the marks of two methods at one exit


def named(run: Run, whole: bool = False) -> str:
    """`joint training, equal passes`; `whole` leaves out that a line has the passes of another."""
    method = run.role.base or run.method
    longer = ", equal passes" if run.role.base and not whole else ""
    return f"{_NAMES.get(method, label(method))}{longer}"


def passes(run: Run) -> int:
    """How often a run goes over the training data in an epoch; DR-MGF does so once for every task, and once more."""
    return len(run.tasks) + 1 if run.declaration["rule"]["name"] == "dr_mgf" else 1


def by_exit_and_pass(groups: Mapping[str, Sequence[Run]], metrics: Metrics, front: str) -> Figure:
    """Left: test accuracy at every exit, with 95 % intervals. Right: validation accuracy by passes over the data.

    Args:
        groups: the runs of one problem by method, in the order in which they stand beside each other.
        metrics: metrics.json, which holds the levels on the left.
        front: the method that is drawn larger.
    """
    tasks = groups[front][0].tasks
    with look():
        figure = canvas(9.4, 4.2)
        left, right = figure.subplots(1, 2)
        for place, runs in enumerate(groups.values()):
            shift = (place - (len(groups) - 1) / 2) * _SIDE
            levels = [summary_of(metrics[runs[0].experiment][metric]) for metric in runs[0].metrics]
            _exits(left, runs[0], list(groups), [one.moved(100.0) for one in levels if one], shift)
            _passes(right, list(groups), runs)
        for axes in (left, right):
            for mark in axes.lines:
                if mark.get_label() == named(groups[front][0]):
                    mark.set(markersize=7, linewidth=2.2, zorder=5)
        left.set_xticks(range(len(tasks)), [f"exit {k + 1}" for k in range(len(tasks))])
        left.set_ylim(bottom=0.0)
        right.set_ylim(bottom=0.0)
        left.set_ylabel("test accuracy (%)")
        right.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.set_xlabel("passes over the training pictures")
        right.set_ylabel("validation accuracy, mean of exits (%)")
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _exits(axes: Axes, run: Run, methods: list[str], levels: Sequence[Summary], shift: float) -> None:
    method = run.method
    first = line(method, methods) == "-"
    for k, one in enumerate(levels):
        if one.low is not None and one.high is not None:
            axes.plot([k + shift] * 2, [one.low, one.high], "-", color=colour(method), linewidth=1.0)
    axes.plot(
        np.arange(len(levels)) + shift, [one.mean for one in levels], "o", color=colour(method), markersize=4.5,
        markerfacecolor=colour(method) if first else "white", label=named(run),
    )  # fmt: skip


def _passes(axes: Axes, methods: list[str], runs: Sequence[Run]) -> None:
    method = runs[0].method
    curves = np.array([[100 * score(epoch, "val", run.metrics) for epoch in run.epochs] for run in runs])
    at = passes(runs[0]) * np.arange(1, curves.shape[1] + 1)
    dashes = line(method, methods)
    axes.plot(
        at, curves.mean(axis=0), dashes, color=colour(method), linewidth=1.3, marker="o", markersize=3,
        markerfacecolor=colour(method) if dashes == "-" else "white", label=named(runs[0]),
    )  # fmt: skip
    if len(curves) > 1:
        bands = [summarise(column.tolist()) for column in curves.T]
        low, high = np.array([[band.low, band.high] for band in bands], dtype=float).T
        axes.fill_between(at, low, high, color=colour(method), alpha=0.07, linewidth=0)
