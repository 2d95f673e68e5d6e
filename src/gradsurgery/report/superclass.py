"""CIFAR-100's 20 superclasses in the report: joint training, with surgery and without, and 20 networks on their own."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.selection import select
from gradsurgery.evidence.statistics import Summary, summarise, test_noise
from gradsurgery.ledger.judging import direction
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet
from gradsurgery.report.style import canvas, colour, label, look
from gradsurgery.report.tables import source, spread
from gradsurgery.report.titles import where

PROBLEM = "cifar100_superclass"
ALONE, PLAIN, METHOD = "independent", "sum", "pcgrad"

Scores = dict[int, np.ndarray]  # seed -> accuracy of every task, in per cent

CLAIM = (
    "One network that learns the 20 superclasses of CIFAR-100 as 20 tasks with PCGrad is more accurate than 20 "
    "networks trained on their own (Table 2, where joint training of that network without surgery is not listed)."
)


def superclasses(evidence: Evidence) -> Section | None:
    """What was found on the 20 tasks, in the form of a section so that a paper's section can take it in."""
    groups = {g[0].method: g for g in evidence.groups.values() if g[0].problem == PROBLEM}
    if not groups:
        return None
    scores = {method: _scores(group, evidence) for method, group in groups.items()}
    order = sorted(scores, key=lambda m: -float(np.mean(_means(scores[m]))))
    run = next(iter(groups.values()))[0]
    size = run.examples(run.tasks[0]) or 0
    drawings = [Drawing("superclass-methods", _methods(scores, order), _CAPTION)]
    shared = where(groups)
    front = [m for m in (ALONE, PLAIN, METHOD) if m in scores]
    if front:
        drawings.append(Drawing("superclass-tasks", _tasks(scores, front, run.tasks), _TASK_CAPTION))
    return Section(
        claim=CLAIM, ran=_ran(run, groups), found=_found(scores, size, groups), drawings=drawings,
        sheets=[
            Sheet(
                "superclass-methods", f"CIFAR-100, 20 superclasses: mean of tasks. {shared}",
                _table(scores, order, evidence),
            ),
            Sheet(
                "superclass-tasks", f"CIFAR-100, 20 superclasses: task by task (%). {shared}",
                _by_task(scores, run.tasks),
            ),
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


def _scores(group: Sequence[Run], evidence: Evidence) -> Scores:
    rule = evidence.metrics[group[0].experiment]["selection"]
    rows = {run.seed: select(run, rule) for run in group}
    return {s: 100 * np.array([row[f"{task}.accuracy"] for task in group[0].tasks]) for s, row in rows.items()}


def _means(scores: Scores) -> list[float]:
    return [float(row.mean()) for row in scores.values()]


def _difference(scores: Mapping[str, Scores], method: str, other: str) -> Summary | None:
    """Of the means of tasks, paired by seed; None where the two share no seed."""
    both = sorted(set(scores.get(method, {})) & set(scores.get(other, {})))
    return summarise([float((scores[method][s] - scores[other][s]).mean()) for s in both]) if both else None


def _noise(scores: Mapping[str, Scores], method: str, other: str, size: int) -> float:
    """What drawing the test pictures alone can move the difference by, in points."""
    shares = [np.mean(list(scores[m].values()), axis=0) / 100 for m in (method, other)]
    return 100 * test_noise(list(zip(shares[0].tolist(), shares[1].tolist(), strict=True)), size)


def _ran(run: Run, groups: Mapping[str, Sequence[Run]]) -> str:
    settings = run.declaration["settings"]
    network = settings["network"]
    test = run.examples(run.tasks[0]) or "all"
    train = f"{settings['train_size'] or 'all'} training and {test} test pictures of each task"
    n = max(len(group) for group in groups.values())
    return (
        f"CIFAR-100, {len(run.tasks)} tasks of 5 classes, {train}, {len(run.epochs)} epochs, every step "
        f"{settings['batch_size']} pictures of each task; a network of {network['width']} filters and "
        f"{network['hidden']} units a layer, no routing. Scale {run.scale}, track {run.track}, n = {n} seeds."
    )


def _found(scores: Mapping[str, Scores], size: int, groups: Mapping[str, Sequence[Run]]) -> str:
    parts = []
    for method, other, remark in (
        (METHOD, ALONE, "the paper's comparison"), (METHOD, PLAIN, "the control that its table lacks"),
        (PLAIN, ALONE, "sharing without surgery"),
    ):  # fmt: skip
        summary = _difference(scores, method, other)
        if summary is not None:
            said = spread(summary.as_record(), signed=True)
            verdict = direction(summary, "higher", _noise(scores, method, other, size))
            parts.append(f"{label(method)} minus {label(other)} ({remark}): {said}, n = {summary.n}: {verdict}")
    steps = [row["conflict_share"] for run in groups.get(PLAIN, ()) for row in run.diagnostics]
    conflict = f" On the sum's way {100 * np.mean(steps):.0f} % of the pairs of tasks conflict." if steps else ""
    if not parts:
        return f"No two of the lines that the claim compares were run.{conflict}"
    return f"In points of accuracy, mean of tasks, 95 % intervals over seeds: {'; '.join(parts)}.{conflict}"


def _table(scores: Mapping[str, Scores], order: Sequence[str], evidence: Evidence) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for method in order:
        mean = np.mean(list(scores[method].values()), axis=0)
        row: dict[str, object] = {"method": source(f"{PROBLEM}-{method}", label(method))}
        row |= {"mean of tasks (%)": spread(summarise(_means(scores[method])).as_record())}
        for other in (PLAIN, ALONE):
            summary = _difference(scores, method, other) if method != other else None
            row[f"minus {label(other)}"] = spread(summary.as_record() if summary else None, signed=True)
        row["tasks above independent"] = "-"
        if ALONE in scores and method != ALONE:
            row["tasks above independent"] = int((mean > np.mean(list(scores[ALONE].values()), axis=0)).sum())
        seeds = evidence.costs.get(f"{PROBLEM}-{method}", {}).get("seeds", {}).values()
        row["step (ms)"] = f"{np.median([s['step_ms'] for s in seeds]):.1f}" if seeds else "-"
        rows.append(row | {"n": len(scores[method])})
    return pd.DataFrame(rows)


def _by_task(scores: Mapping[str, Scores], tasks: Sequence[str]) -> pd.DataFrame:
    columns = {
        label(method): [
            source(f"{PROBLEM}-{method}", spread(summarise(column).as_record(), 1))
            for column in np.array(list(rows.values())).T.tolist()
        ]
        for method, rows in sorted(scores.items())
    }
    return pd.DataFrame({"task": [task.replace("_", " ") for task in tasks], **columns})


def _methods(scores: Mapping[str, Scores], order: Sequence[str]) -> Figure:
    with look():
        figure = canvas(7.6, 0.6 + 0.32 * len(order))
        axes = figure.subplots()
        for place, method in enumerate(order):
            means = _means(scores[method])
            summary = summarise(means)
            if summary.low is not None and summary.high is not None:
                axes.hlines(place, summary.low, summary.high, color=colour(method), linewidth=2.2, alpha=0.45)
            axes.plot(means, [place] * len(means), "o", color=colour(method), markersize=3.5, alpha=0.7)
            axes.plot(summary.mean, place, "D", color=colour(method), markersize=5.5)
        if PLAIN in scores:
            axes.axvline(float(np.mean(_means(scores[PLAIN]))), color=colour(PLAIN), linewidth=0.9, linestyle=":")
        _label_rows(axes, [label(method) for method in order])
        axes.set_xlabel("test accuracy, mean of 20 tasks (%)")
    return figure


def _tasks(scores: Mapping[str, Scores], front: Sequence[str], tasks: Sequence[str]) -> Figure:
    values = {method: np.array(list(scores[method].values())) for method in front}
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
