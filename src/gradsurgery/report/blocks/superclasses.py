"""CIFAR-100's 20 superclasses in the report: joint training, with surgery and without, and 20 networks on their own."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.groups import of
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.statistics import Summary
from gradsurgery.report.format import gain
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet
from gradsurgery.report.style import canvas, colour, label, look
from gradsurgery.report.tables import source, summary_of
from gradsurgery.report.titles import where

PROBLEM, FAMILY, MEAN = "cifar100_superclass", "superclasses", "all.accuracy"
ALONE, PLAIN, METHOD = "independent", "sum", "pcgrad"


def part(key: str, evidence: Evidence) -> Section | None:
    """What was found on the 20 tasks; None where none of it was run."""
    groups = of(evidence.groups, PROBLEM)
    if not groups:
        return None
    order = sorted(groups, key=lambda m: -_level(evidence, m, MEAN).mean)
    run = next(iter(groups.values()))[0]
    drawings = [Drawing("superclass-methods", _methods(evidence, order), _CAPTION)]
    shared = where(groups)
    if front := [m for m in (ALONE, PLAIN, METHOD) if m in groups]:
        drawings.append(Drawing("superclass-tasks", _tasks(evidence, front, run.tasks), _TASK_CAPTION))
    heading = f"CIFAR-100, 20 superclasses: mean of tasks. {shared}"
    by_task = f"CIFAR-100, 20 superclasses: task by task (%). {shared}"
    return Section(
        claim="", ran=_ran(run, groups), found=_found(evidence, groups), drawings=drawings,
        sheets=[
            Sheet("superclass-methods", heading, _table(evidence, order, groups)),
            Sheet("superclass-tasks", by_task, _by_task(evidence, sorted(groups), run.tasks)),
        ],
    )  # fmt: skip


_CAPTION = (
    "CIFAR-100, 20 superclasses: test accuracy, mean of tasks, with 95 % intervals over seeds; dots are seeds, the "
    "line is the summed loss."
)
_TASK_CAPTION = (
    "CIFAR-100, 20 superclasses, task by task: mean test accuracy over seeds, bars from the lowest to the highest "
    "seed. One picture in five would be right by chance."
)


def _level(evidence: Evidence, method: str, metric: str) -> Summary:
    found = summary_of(evidence.metrics[f"{PROBLEM}-{method}"][metric])
    assert found is not None
    return found


def _values(evidence: Evidence, method: str, metric: str) -> list[float]:
    return [100 * value for value in evidence.measured.by_seed[f"{PROBLEM}-{method}"][metric]]


def _minus(evidence: Evidence, method: str, other: str) -> Contrast | None:
    return evidence.contrasts.get(FAMILY, PROBLEM, method, other)


def _ran(run: Run, groups: Mapping[str, Sequence[Run]]) -> str:
    settings = run.declaration["settings"]
    network = settings["network"]
    test = run.test_examples(run.tasks[0]) or "all"
    train = f"{settings['train_size'] or 'all'} training and {test} test pictures of each task"
    n = max(len(group) for group in groups.values())
    return (
        f"CIFAR-100, {len(run.tasks)} tasks of 5 classes, {train}, {len(run.epochs)} epochs, every step "
        f"{settings['batch_size']} pictures of each task; a network of {network['width']} filters and "
        f"{network['hidden']} units a layer, no routing. Scale {run.scale}, track {run.track}, n = {n} seeds."
    )


def _found(evidence: Evidence, groups: Mapping[str, Sequence[Run]]) -> str:
    parts = []
    for method, other, remark in (
        (METHOD, ALONE, "the paper's comparison"), (METHOD, PLAIN, "the control that its table lacks"),
        (PLAIN, ALONE, "sharing without surgery"),
    ):  # fmt: skip
        if (c := _minus(evidence, method, other)) is not None:
            said = f"{gain(c)}, n = {c.difference.n}: {c.verdict}"
            parts.append(f"{label(method)} minus {label(other)} ({remark}): {said}")
    steps = [row["conflict_share"] for run in groups.get(PLAIN, ()) for row in run.diagnostics]
    conflict = f" On the sum's way {100 * np.mean(steps):.0f} % of the pairs of tasks conflict." if steps else ""
    if not parts:
        return f"No two of the lines that the claim compares were run.{conflict}"
    return f"In points of accuracy, mean of tasks, 95 % intervals over seeds: {'; '.join(parts)}.{conflict}"


def _table(evidence: Evidence, order: Sequence[str], groups: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    tasks = [f"{task}.accuracy" for task in groups[order[0]][0].tasks]
    for method in order:
        row: dict[str, object] = {"method": source(f"{PROBLEM}-{method}", label(method))}
        row |= {"mean of tasks (%)": measure(MEAN).say(_level(evidence, method, MEAN))}
        for other in (PLAIN, ALONE):
            c = _minus(evidence, method, other)
            row[f"minus {label(other)}"] = gain(c) if c else "-"
        row["tasks above independent"] = "-"
        if ALONE in order and method != ALONE:
            above = [_level(evidence, method, t).mean > _level(evidence, ALONE, t).mean for t in tasks]
            row["tasks above independent"] = sum(above)
        seeds = evidence.costs.get(f"{PROBLEM}-{method}", {}).get("seeds", {}).values()
        row["step (ms)"] = f"{np.median([s['step_ms'] for s in seeds]):.1f}" if seeds else "-"
        rows.append(row | {"n": len(groups[method])})
    return pd.DataFrame(rows)


def _by_task(evidence: Evidence, methods: Sequence[str], tasks: Sequence[str]) -> pd.DataFrame:
    columns = {
        label(m): [
            source(f"{PROBLEM}-{m}", measure(MEAN).say(_level(evidence, m, f"{task}.accuracy"), digits=1))
            for task in tasks
        ]
        for m in methods
    }
    return pd.DataFrame({"task": [task.replace("_", " ") for task in tasks], **columns})


def _methods(evidence: Evidence, order: Sequence[str]) -> Figure:
    with look():
        figure = canvas(7.6, 0.6 + 0.32 * len(order))
        axes = figure.subplots()
        for place, method in enumerate(order):
            means = _values(evidence, method, MEAN)
            summary = _level(evidence, method, MEAN)
            if summary.low is not None and summary.high is not None:
                axes.hlines(
                    place, 100 * summary.low, 100 * summary.high, color=colour(method), linewidth=2.2, alpha=0.45
                )
            axes.plot(means, [place] * len(means), "o", color=colour(method), markersize=3.5, alpha=0.7)
            axes.plot(100 * summary.mean, place, "D", color=colour(method), markersize=5.5)
        if PLAIN in order:
            axes.axvline(100 * _level(evidence, PLAIN, MEAN).mean, color=colour(PLAIN), linewidth=0.9, linestyle=":")
        _label_rows(axes, [label(method) for method in order])
        axes.set_xlabel("test accuracy, mean of 20 tasks (%)")
    return figure


def _tasks(evidence: Evidence, front: Sequence[str], tasks: Sequence[str]) -> Figure:
    values = {m: np.array([_values(evidence, m, f"{task}.accuracy") for task in tasks]).T for m in front}
    order = np.argsort(-values[front[0]].mean(axis=0), kind="stable")
    shapes = {ALONE: "s", PLAIN: "o", METHOD: "D"}
    with look():
        figure = canvas(7.6, 5.4)
        axes = figure.subplots()
        for place, method in enumerate(front):
            rows = np.arange(len(tasks)) + 0.22 * (place - (len(front) - 1) / 2)
            low, high = values[method].min(axis=0)[order], values[method].max(axis=0)[order]
            axes.hlines(rows, low, high, color=colour(method), linewidth=1.2, alpha=0.6)
            axes.plot(values[method].mean(axis=0)[order], rows, shapes[method], color=colour(method), markersize=4,
                      linestyle="none", label=label(method))  # fmt: skip
        axes.axvline(20.0, color="#888888", linewidth=0.9, linestyle=":")
        _label_rows(axes, [tasks[k].replace("_", " ") for k in order])
        axes.set_xlabel("test accuracy (%)")
        figure.legend(loc="outside upper center", ncols=len(front), frameon=False)
    return figure


def _label_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
