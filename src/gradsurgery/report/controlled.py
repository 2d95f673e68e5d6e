"""The controlled comparison, one entry a problem: everything but the combination of the task gradients held fixed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradsurgery.core.metrics import score
from gradsurgery.evidence.contract import REFERENCE
from gradsurgery.evidence.contrasts import Contrasts
from gradsurgery.evidence.diverged import record
from gradsurgery.evidence.groups import Groups, Metrics, joint, of, records, weighted
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.statistics import significant
from gradsurgery.report import diverged, figures, tables
from gradsurgery.report.output import Output
from gradsurgery.report.sentences import image_sentence
from gradsurgery.report.style import label
from gradsurgery.report.titles import setting, title


def comparison(
    groups: Groups, metrics: Metrics, contrasts: Contrasts, problem: str, out: Output, gone: Groups | None = None
) -> dict[str, Any]:
    """Sentence, figures and tables of one problem with data.

    Lines that diverged (`gone`) are a row without numbers in the first table, and nowhere else. Lines of another budget
    (track `reference`) stand last in the tables, as what they are, and in no figure.
    """
    runs, entries, gone = of(groups, problem), records(metrics, problem), gone or {}
    sentence = f"{image_sentence(problem, metrics, contrasts)} {diverged.sentence(gone, problem)}".strip()
    missing = {n: record(g, "-") for n, g in gone.items() if g[0].problem == problem}
    directions = next(iter(runs.values()))[0].metrics
    first: list[dict[str, Any]] = []
    more: list[dict[str, Any]] = []
    shown: dict[str, Any] = {
        "key": problem, "title": title(problem), "sentence": sentence,
        "setting": setting(runs), "first": first, "more": more,
        "table": out.table(problem, tables.problem_table({**metrics, **missing}, problem, directions)),
        "rules": out.table(f"{problem}-selection", tables.rules_table(metrics, problem, directions)),
        "tasks": None,
    }  # fmt: skip
    if len(directions) > tables.MANY:
        shown["tasks"] = out.table(f"{problem}-tasks", tables.tasks_table(metrics, problem, directions))
    runs = {method: group for method, group in runs.items() if group[0].track != REFERENCE}
    entries = {method: entries[method] for method in runs}
    _plot(runs, problem, out)
    if any(r.get("minus_sum") for r in entries.values()):
        caption = (
            f"{title(problem)}: every method minus the sum, mean of tasks, 95 % intervals; seeds pair unless a network "
            "is drawn anew."
        )
        first.append(out.figure(f"{problem}-differences", figures.differences(entries), caption))
    if len(directions) == 2 and any(len(r["rules"]["last"]) == 2 for r in entries.values()):
        caption = (
            f"{title(problem)}: test metrics of the two tasks with 95 % intervals; dotted lines are single-task runs."
        )
        static = weighted(runs)
        if static:
            caption += " The grey line joins static weights."
        more.append(out.figure(f"{problem}-trade-off", figures.trade_off(entries, runs, static), caption))
    if joint(runs):
        caption = (
            f"{title(problem)}: validation metric while training, mean of tasks and seeds; bands are 95 % intervals."
        )
        more.append(out.figure(f"{problem}-learning", figures.learning_curves(runs), caption))
    return shown


def _plot(runs: Mapping[str, Sequence[Run]], problem: str, out: Output) -> None:
    out.plot(f"{problem}-learning", [
        {"epoch": epoch["epoch"], "method": label(method),
         "validation": significant(float(np.mean([score(r.epochs[i], "val", r.metrics) for r in group])))}
        for method, group in joint(runs).items()
        for i, epoch in enumerate(group[0].epochs)
    ])  # fmt: skip
