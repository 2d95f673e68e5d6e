"""Figures of the problems with data: learning curves, trade-offs, differences to the sum, and conflict."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gradsurgery.evidence.groups import joint, studied
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import by_word, measure, worded
from gradsurgery.report.marks import course, effect, middles
from gradsurgery.report.style import canvas, colour, label, line, look, stem
from gradsurgery.report.tables import summary_of

Groups = Mapping[str, Sequence[Run]]
Records = Mapping[str, Mapping[str, Any]]


def learning_curves(groups: Groups) -> Figure:
    """Every kind of metric on the validation set after each epoch, mean over tasks and seeds; bands are 95 % intervals.

    Args:
        groups: the runs of one problem by method; single-task runs are left out, having one task only, and floors,
            which are fitted at once.
    """
    methods, front = list(joint(groups)), studied(groups)
    words = by_word(groups[methods[0]][0].metrics)
    with look():
        figure = canvas(7.6, 4.2) if len(words) == 1 else canvas(3.9 * len(words) + 1.6, 4.2)
        panels = figure.subplots(1, len(words), squeeze=False)[0]
        for axes, (word, names) in zip(panels, words.items(), strict=True):
            for method in sorted(methods, key=front.__contains__):
                _learning(axes, groups[method], method, methods, names, method in front)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlabel("epoch")
            axes.set_ylabel(f"validation {_axis(word, len(names))}")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _learning(
    axes: Axes, runs: Sequence[Run], method: str, methods: list[str], names: list[str], front: bool
) -> None:  # fmt: skip
    factor = measure(names[0]).factor
    length = min(len(run.epochs) for run in runs)
    curves = factor * np.array([
        [np.mean([epoch[f"val.{name}"] for name in names]) for epoch in run.epochs[:length]] for run in runs
    ])  # fmt: skip
    course(
        axes, np.arange(1, length + 1), curves, line(method, methods), tint=colour(method),
        band=0.08 if front else None, label=label(method), linewidth=1.8 if front else 0.9,
        alpha=1.0 if front else 0.7, zorder=3 if front else 2,
    )  # fmt: skip


def _axis(word: str, tasks: int) -> str:
    how = measure(word)
    return f"{how.name}{', mean of tasks' if tasks > 1 else ''}{how.of_unit}"


def trade_off(records: Records, runs: Groups, static: Sequence[str]) -> Figure:
    """Test metric of one task against the other's with 95 % intervals; the line joins the static weights.

    Args:
        records: metrics.json of one problem with two metrics, by method. The right panel is the left one around the
            methods' middle.
        runs: the same lines' runs.
        static: those that are static weights.
    """
    tasks = list(next(r for r in records.values() if len(r["rules"]["last"]) == 2)["rules"]["last"])
    factors = [measure(task).factor for task in tasks]
    both = {m: r for m, r in records.items() if all(t in r for t in tasks)}
    with look():
        figure = canvas(9.4, 4.4)
        panels = figure.subplots(1, 2)
        for axes in panels:
            _trade_off(axes, both, records, tasks, static, studied(runs))
        centre = np.array([
            [f * r[t]["mean"] for f, t in zip(factors, tasks, strict=True)]
            for m, r in both.items() if m not in static
        ])  # fmt: skip
        middle, reach = np.median(centre, axis=0), 2.5 * np.median(abs(centre - np.median(centre, axis=0)), axis=0)
        reach = np.maximum(reach, 0.01 * np.array(factors))
        panels[1].set_xlim(middle[0] - reach[0], middle[0] + reach[0])
        panels[1].set_ylim(middle[1] - reach[1], middle[1] + reach[1])
        panels[0].set_title("all methods")
        panels[1].set_title("the middle, enlarged")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False)
    return figure


def _trade_off(
    axes: Axes, both: Records, records: Records, tasks: list[str], static: Sequence[str], front: Collection[str]
) -> None:  # fmt: skip
    factors = {task: measure(task).factor for task in tasks}
    if static:
        curve = np.array([[factors[t] * both[m][t]["mean"] for t in tasks] for m in sorted(static)])
        axes.plot(*curve.T, "-", color=colour("static"), linewidth=1.2, label="static weights")
        axes.plot(*curve.T, "s", color=colour("static"), markersize=3.5)
    markers: dict[str, int] = {}
    for method, record in both.items():
        if method in static:
            continue
        index = markers[stem(method)] = markers.get(stem(method), -1) + 1
        means = [factors[t] * record[t]["mean"] for t in tasks]
        errors = [
            factors[t] * (record[t]["mean"] - record[t]["ci95"][0]) if record[t]["ci95"] else 0.0 for t in tasks
        ]  # fmt: skip
        axes.errorbar(
            means[0], means[1], xerr=errors[0], yerr=errors[1], fmt="oD^v"[index % 4],
            color=colour(method), markersize=5 if method in front else 4, linewidth=0.7, label=label(method),
        )  # fmt: skip
    for method, record in records.items():
        if method not in both:  # trained on one task alone
            vertical = tasks[0] in record
            value = factors[tasks[0 if vertical else 1]] * record[tasks[0 if vertical else 1]]["mean"]
            (axes.axvline if vertical else axes.axhline)(value, color=colour(method), linestyle=":", linewidth=1.0)
    axes.set_xlabel(worded(tasks[0]))
    axes.set_ylabel(worded(tasks[1]))


def differences(records: Records) -> Figure:
    """Every method minus the sum, mean of tasks, paired by seed, with 95 % intervals; one panel per kind of metric."""
    rows = {m: r["minus_sum"] for m, r in records.items() if r.get("minus_sum")}
    words = [name for name in next(iter(rows.values())) if name.startswith("all.")]
    order = sorted(rows, key=lambda m: _gain(rows[m][words[0]]))
    with look():
        figure = canvas(7.0 if len(words) == 1 else 2.2 + 3.4 * len(words), 0.8 + 0.27 * len(order))
        panels = figure.subplots(1, len(words), squeeze=False, sharey=True)[0]
        for axes, name in zip(panels, words, strict=True):
            _differences(axes, rows, order, name)
        panels[0].set_yticks(range(len(order)), [label(m) for m in order])
    return figure


def _differences(axes: Axes, rows: Records, order: Sequence[str], name: str) -> None:
    how, higher = measure(name), bool(rows[order[0]][name]["higher"])
    axes.axvline(0.0, color=colour("sum"), linewidth=1.0)
    for height, method in enumerate(order):
        found = summary_of(rows[method][name])
        assert found is not None
        effect(axes, height, found.moved(how.factor), colour(method))
    axes.set_xlabel(f"{how.name} minus that of the sum{how.of_step}\n{'right' if higher else 'left'} is better")


def _gain(entry: Mapping[str, Any]) -> float:
    return float(entry["mean"]) if entry["higher"] else -float(entry["mean"])


def measured(run: Run) -> bool:
    """Whether a run's diagnostics hold cosines of task gradients; a rule may log rows of another kind."""
    return any(row.get("mean_cosine") is not None for row in run.diagnostics)


_PARTS = 12
_OVER_TRAINING = {
    "mean_cosine": "cosine of the gradients", "magnitude_similarity": "magnitude similarity",
    "deviation": "|d - mean| / |mean|",
}  # fmt: skip


def conflict_over_training(groups: Groups) -> Figure:
    """Cosine, magnitude similarity and distance to the mean gradient over training, with bands over seeds."""
    methods = list(groups)
    with look():
        figure = canvas(9.4, 2.9)
        panels = figure.subplots(1, len(_OVER_TRAINING))
        for axes, (key, name) in zip(panels, _OVER_TRAINING.items(), strict=True):
            for method, runs in groups.items():
                _over_training(axes, [run.diagnostics for run in runs], key, method, methods)
            axes.set_xlabel("share of training (%)")
            axes.set_title(name)
        panels[0].axhline(0.0, color="#888888", linewidth=0.8)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _over_training(
    axes: Axes, diagnostics: Sequence[Sequence[Mapping[str, Any]]], key: str, method: str, methods: list[str]
) -> None:
    curves = [curve for rows in diagnostics if (curve := _binned(rows, key)) is not None]
    if not curves:
        return
    length = min(len(curve) for curve in curves)
    values = np.array([curve[:length] for curve in curves])
    course(
        axes, middles(length), values, line(method, methods), tint=colour(method), band=0.10, label=label(method),
        linewidth=1.4, markersize=4,
    )  # fmt: skip


def _binned(rows: Sequence[Mapping[str, Any]], key: str) -> list[float] | None:
    values = [float(row[key]) for row in rows if row.get(key) is not None]
    if not values:
        return None
    return [float(part.mean()) for part in np.array_split(np.array(values), min(_PARTS, len(values)))]
