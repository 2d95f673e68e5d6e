"""Figures of the analytic landscapes: where each method goes from each start, in parameter space and in loss space."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradsurgery.evidence.history import Run
from gradsurgery.problems.landscape import OPTIMA, jacobian
from gradsurgery.report.style import canvas, colour, label, look

_GRID = 61
_COLUMNS = 4


def parameter_space(runs: Mapping[str, Run]) -> Figure:
    """One panel per method: contours of the mean loss, the path from every start, a dot where it ends."""
    problem = next(iter(runs.values())).problem
    points = np.concatenate([np.array(_path(run)).reshape(-1, 2) for run in runs.values()])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.08 * (high - low) + 0.3
    xs, ys, height = _mean_loss(problem, low - margin, high + margin)
    levels = np.unique(np.quantile(height, np.linspace(0.02, 0.98, 10)))
    with look():
        figure, panels = _panels(len(runs))
        for axes, (method, run) in zip(panels, runs.items(), strict=False):
            axes.contour(xs, ys, height, levels=levels, colors="#b8c4cc", linewidths=0.5, linestyles="solid")
            for path in np.array(_path(run)).transpose(1, 0, 2):
                axes.plot(*path.T, color=colour(method), linewidth=1.1)
                axes.plot(*path[0], "o", markersize=3.5, markerfacecolor="white", markeredgecolor=colour(method))
                axes.plot(*path[-1], "o", markersize=4.5, color=colour(method))
            axes.set_title(_title(method, run))
            axes.set_xlabel("first parameter")
            axes.set_ylabel("second parameter")
            axes.grid(visible=False)
    return figure


def loss_space(runs: Mapping[str, Run]) -> Figure:
    """One panel per method: both losses along every path, and where they end."""
    with look():
        figure, panels = _panels(len(runs))
        for axes, (method, run) in zip(panels, runs.items(), strict=False):
            for path in np.array(run.trajectory["losses"] if run.trajectory else []).transpose(1, 0, 2):
                axes.plot(*path.T, color=colour(method), linewidth=1.0, alpha=0.8)
                axes.plot(*path[0], "o", markersize=3.5, markerfacecolor="white", markeredgecolor=colour(method))
                axes.plot(*path[-1], "o", markersize=4.5, color=colour(method))
            axes.set_title(_title(method, run))
            axes.set_xlabel("loss of the first task")
            axes.set_ylabel("loss of the second task")
    return figure


def end_points(runs: Mapping[str, Run]) -> Figure:
    """Distribution of the total loss where the perturbed copies of one start end, and where in the plane they are."""
    with look():
        figure = canvas(9.0, 3.4)
        left, right = figure.subplots(1, 2)
        for run_index, (method, run) in enumerate(runs.items()):
            total = np.sort(np.array(run.trajectory["losses"][-1] if run.trajectory else []).sum(axis=1))
            share = (np.arange(len(total)) + 1) / len(total)
            left.step(total, share, where="post", color=colour(method), label=label(method))
            left.plot(total, np.full(len(total), -0.06 - 0.05 * run_index), "|", color=colour(method), markersize=7)
            right.plot(*np.array(_path(run))[-1].T, "o", markersize=4, alpha=0.7, color=colour(method))
        left.set_xlabel("total loss at the end (lower is better)")
        left.set_ylabel("share of starts")
        left.legend(loc="upper left", frameon=False)
        right.set_title("where they end")
        right.set_xlabel("first parameter")
        right.set_ylabel("second parameter")
    return figure


def overview(runs: Mapping[str, Run]) -> Figure:
    """The README's figure: one panel for each of the families on CAGrad's landscape, the middle variant of each."""
    chosen = {}
    for name in ("mean", "mgda", "pcgrad", "cagrad"):
        variants = sorted(m for m, run in runs.items() if run.declaration["aggregator"]["name"] == name)
        if variants:
            middle = variants[(len(variants) - 1) // 2]
            chosen[middle] = runs[middle]
    return parameter_space(chosen or runs)


def _path(run: Run) -> list[list[list[float]]]:
    return run.trajectory["theta"] if run.trajectory else []


def _title(method: str, run: Run) -> str:
    starts = len(_path(run)[0])
    if run.problem not in OPTIMA or starts > 10:
        return label(method)
    return f"{label(method)}: {round(run.epochs[-1]['test.all.solved'] * starts)} of {starts}"


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = canvas(2.6 * columns, 2.5 * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for empty in panels[count:]:
        empty.set_visible(False)
    return figure, panels


def _mean_loss(
    problem: str, low: Float[np.ndarray, "2"], high: Float[np.ndarray, "2"]
) -> tuple[Float[np.ndarray, " X"], Float[np.ndarray, " Y"], Float[np.ndarray, "Y X"]]:
    xs, ys = (np.linspace(low[i], high[i], _GRID) for i in range(2))
    grid = np.stack([a.ravel() for a in np.meshgrid(xs, ys)], axis=1)
    losses, _ = jacobian(problem, grid)
    return xs, ys, losses.mean(axis=0).reshape(_GRID, _GRID)
