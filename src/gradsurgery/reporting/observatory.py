"""The conflict observatory: what the task gradients did to each other while the methods trained."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gradsurgery.reporting import figures
from gradsurgery.reporting.grouping import Groups, of, title
from gradsurgery.reporting.output import Output
from gradsurgery.reporting.statistics import summarise
from gradsurgery.reporting.style import label, studied
from gradsurgery.reporting.tables import source, spread

MEASURED = {
    "conflict_share": "conflicting pairs (share)", "mean_cosine": "mean cosine",
    "magnitude_similarity": "magnitude similarity", "deviation": "|d - mean| / |mean|",
    "worst_alignment": "worst alignment of a task with d",
}  # fmt: skip


def conflict(groups: Groups, problems: Sequence[str], out: Output) -> list[dict[str, Any]]:
    """Per problem: conflict over training, and its distribution by third of training."""
    entries = []
    for problem in problems:
        runs = of(groups, problem)
        measured = {m: g for m, g in runs.items() if studied(m) and any(figures.measured(r) for r in g)}
        if not measured:
            continue
        over = (
            f"{title(problem)}: mean over pairs of tasks and over seeds while training, in twelve parts of equal length"
        )
        thirds = f"{title(problem)}: distribution over steps and seeds, by third of training."
        entries.append({
            "title": title(problem), "key": problem,
            "first": out.figure(
                f"{problem}-conflict", figures.conflict_over_training(measured), f"{over}; bands are 95 % intervals."
            ),
            "more": out.figure(f"{problem}-conflict-thirds", figures.conflict(measured), thirds),
        })  # fmt: skip
    return entries


def table(groups: Groups, problems: Sequence[str]) -> pd.DataFrame:
    """Mean of every diagnostic over training, with its interval over seeds."""
    rows = []
    for problem in problems:
        for method, group in of(groups, problem).items():
            cells = {text: _cell([run.diagnostics for run in group], key) for key, text in MEASURED.items()}
            if any(cell != "-" for cell in cells.values()):
                name = source(group[0].experiment, label(method))
                rows.append({"problem": title(problem), "method": name, **cells, "n": len(group)})
    return pd.DataFrame(rows, columns=["problem", "method", *MEASURED.values(), "n"])


def _cell(diagnostics: Sequence[Sequence[dict[str, Any]]], key: str) -> str:
    means = [
        float(np.mean(values)) for rows in diagnostics
        if (values := [row[key] for row in rows if row.get(key) is not None])
    ]  # fmt: skip
    return spread(summarise(means).as_record(), digits=3) if means else "-"
