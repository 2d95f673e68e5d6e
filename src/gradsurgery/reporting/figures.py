"""Figures of the image problems: learning curves, trade-offs, differences to the sum, conflict, and time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gradsurgery.reporting.history import Run
from gradsurgery.reporting.selection import score
from gradsurgery.reporting.statistics import summarise
from gradsurgery.reporting.style import canvas, colour, family, label, line, look, studied

Groups = Mapping[str, Sequence[Run]]
Records = Mapping[str, Mapping[str, Any]]


def learning_curves(groups: Groups) -> Figure:
    """Validation accuracy, mean over tasks and seeds, after each epoch; bands are 95 % intervals over seeds.

    Args:
        groups: the runs of one problem by method; single-task runs are left out, having one task only.
    """
    methods = [m for m in groups if family(m) != "single_task"]
    with look():
        figure = canvas(7.6, 4.2)
        axes = figure.subplots()
        for method in sorted(methods, key=studied):
            curves = np.array([[100 * score(e, "val", run.metrics) for e in run.epochs] for run in groups[method]])
            epochs = np.arange(1, curves.shape[1] + 1)
            front = studied(method)
            axes.plot(
                epochs, curves.mean(axis=0), line(method, methods), color=colour(method), label=label(method),
                linewidth=1.8 if front else 0.9, alpha=1.0 if front else 0.7, zorder=3 if front else 2,
            )  # fmt: skip
            if front and len(curves) > 1:
                bands = [summarise(column.tolist()) for column in curves.T]
                low, high = np.array([[b.low, b.high] for b in bands], dtype=float).T
                axes.fill_between(epochs, low, high, color=colour(method), alpha=0.08, linewidth=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation accuracy, mean of tasks (%)")
        figure.legend(loc="outside right upper", frameon=False)
    return figure


def trade_off(records: Records) -> Figure:
    """Test accuracy of one task against the other with 95 % intervals; the line joins the static weights.

    Args:
        records: metrics.json of one problem, by method. The right panel is the left one around the methods' middle.
    """
    tasks = list(next(r for r in records.values() if len(r["rules"]["last"]) == 2)["rules"]["last"])
    both = {m: r for m, r in records.items() if all(t in r for t in tasks)}
    with look():
        figure = canvas(9.4, 4.4)
        panels = figure.subplots(1, 2)
        for axes in panels:
            _trade_off(axes, both, records, tasks)
        centre = np.array([[100 * r[t]["mean"] for t in tasks] for m, r in both.items() if family(m) != "static"])
        middle, reach = np.median(centre, axis=0), 2.5 * np.median(abs(centre - np.median(centre, axis=0)), axis=0)
        reach = np.maximum(reach, 1.0)
        panels[1].set_xlim(middle[0] - reach[0], middle[0] + reach[0])
        panels[1].set_ylim(middle[1] - reach[1], middle[1] + reach[1])
        panels[0].set_title("all methods")
        panels[1].set_title("the middle, enlarged")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False)
    return figure


def _trade_off(axes: Axes, both: Records, records: Records, tasks: list[str]) -> None:
    static = sorted(m for m in both if family(m) == "static")
    if static:
        front = np.array([[100 * both[m][t]["mean"] for t in tasks] for m in static])
        axes.plot(*front.T, "-", color=colour("static"), linewidth=1.2, label="static weights")
        axes.plot(*front.T, "s", color=colour("static"), markersize=3.5)
    markers: dict[str, int] = {}
    for method, record in both.items():
        if family(method) == "static":
            continue
        index = markers[family(method)] = markers.get(family(method), -1) + 1
        means = [100 * record[t]["mean"] for t in tasks]
        errors = [[100 * (r["mean"] - r["ci95"][0])] * 2 if r["ci95"] else [0, 0] for r in (record[t] for t in tasks)]
        axes.errorbar(
            means[0], means[1], xerr=np.array(errors[0])[:, None], yerr=np.array(errors[1])[:, None],
            fmt="oD^v"[index % 4],
            color=colour(method), markersize=5 if studied(method) else 4, linewidth=0.7, label=label(method),
        )  # fmt: skip
    for method, record in records.items():
        if family(method) == "single_task":
            vertical = tasks[0] in record
            value = 100 * record[tasks[0] if vertical else tasks[1]]["mean"]
            (axes.axvline if vertical else axes.axhline)(value, color=colour(method), linestyle=":", linewidth=1.0)
    axes.set_xlabel(f"{tasks[0].replace('.', ' ')} (%)")
    axes.set_ylabel(f"{tasks[1].replace('.', ' ')} (%)")


def differences(records: Records) -> Figure:
    """Accuracy of every method minus the sum's, mean of tasks, paired by seed, with 95 % intervals."""
    rows = {m: r["minus_sum"]["all"] for m, r in records.items() if "all" in r.get("minus_sum", {})}
    order = sorted(rows, key=lambda m: rows[m]["mean"])
    with look():
        figure = canvas(7.0, 0.8 + 0.27 * len(order))
        axes = figure.subplots()
        axes.axvline(0.0, color=colour("sum"), linewidth=1.0)
        for height, method in enumerate(order):
            low, high = rows[method]["ci95"] or (rows[method]["mean"],) * 2
            axes.plot([100 * low, 100 * high], [height, height], "-", color=colour(method), linewidth=2.0)
            axes.plot(100 * rows[method]["mean"], height, "o", color=colour(method), markersize=5)
        axes.set_yticks(range(len(order)), [label(m) for m in order])
        axes.set_xlabel("accuracy minus that of the sum (points, mean of tasks)")
    return figure


def conflict(groups: Groups) -> Figure:
    """Cosine and magnitude similarity of the task gradients in the first, middle and last third of training."""
    methods = [m for m, runs in groups.items() if studied(m) and any(run.diagnostics for run in runs)]
    with look():
        figure = canvas(9.4, 4.8)
        panels = figure.subplots(2, 3, sharex="row", sharey="row")
        for row, (key, name, low) in enumerate(
            [("mean_cosine", "cosine of the gradients", -1.0), ("magnitude_similarity", "magnitude similarity", 0.0)]
        ):
            for third, title in enumerate(("first third", "middle third", "last third")):
                axes = panels[row][third]
                for method in methods:
                    values = _third([run.diagnostics for run in groups[method]], key, third)
                    axes.hist(
                        values, bins=np.linspace(low, 1.0, 21), histtype="step", density=True, color=colour(method),
                        linestyle=line(method, methods), linewidth=1.3, label=label(method),
                    )  # fmt: skip
                if key == "mean_cosine":
                    axes.axvline(0.0, color="#888888", linewidth=0.8)
                    axes.set_title(title)
                axes.set_xlabel(name)
            panels[row][0].set_ylabel("density")
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _third(diagnostics: Sequence[Sequence[Mapping[str, Any]]], key: str, third: int) -> list[float]:
    values = []
    for rows in diagnostics:
        edges = [round(len(rows) * i / 3) for i in range(4)]
        values += [float(row[key]) for row in rows[edges[third] : edges[third + 1]] if row.get(key) is not None]
    return values


def step_time(milliseconds: Mapping[str, Sequence[float]]) -> Figure:
    """Time per training step, in multiples of the sum's; a dot per seed, a bar at their median."""
    base = float(np.median(milliseconds["sum"])) if "sum" in milliseconds else 1.0
    order = sorted(milliseconds, key=lambda m: -float(np.median(milliseconds[m])))
    with look():
        figure = canvas(7.0, 0.8 + 0.27 * len(order))
        axes = figure.subplots()
        for height, method in enumerate(order):
            ratios = np.array(milliseconds[method]) / base
            axes.barh(height, float(np.median(ratios)), color=colour(method), alpha=0.45, height=0.62)
            axes.plot(ratios, np.full(len(ratios), height), "o", color=colour(method), markersize=3.5)
        axes.axvline(1.0, color=colour("sum"), linewidth=1.0)
        axes.set_yticks(range(len(order)), [label(m) for m in order])
        axes.set_xlabel("time per step over that of the sum" if "sum" in milliseconds else "time per step (ms)")
        axes.grid(visible=False, axis="y")
    return figure
