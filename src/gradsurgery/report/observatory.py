"""The conflict observatory: what the task gradients did to each other while the methods trained."""

from typing import Any

import pandas as pd

from gradsurgery.evidence.groups import of, studied
from gradsurgery.evidence.measures import PLAIN
from gradsurgery.evidence.observed import observing
from gradsurgery.report import condition, figures, observed_figures, observed_tables
from gradsurgery.report.output import Output
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import label
from gradsurgery.report.tables import source
from gradsurgery.report.titles import title

MEASURED = {
    "conflict_share": "conflicting pairs (share)", "mean_cosine": "mean cosine",
    "magnitude_similarity": "magnitude similarity", "deviation": "|d - mean| / |mean|",
    "worst_alignment": "worst alignment of a task with d",
}  # fmt: skip


def conflict(sources: Sources, out: Output) -> list[dict[str, Any]]:
    """Per problem: conflict over training."""
    entries = []
    for problem in sources.data:
        runs = of(sources.groups, problem)
        measured = {m: g for m, g in runs.items() if m in studied(runs) and any(figures.measured(r) for r in g)}
        if not measured:
            continue
        over = (
            f"{title(problem)}: mean over pairs of tasks and over seeds while training, in twelve parts of equal length"
        )
        entries.append({
            "title": title(problem), "key": problem,
            "first": out.figure(
                f"{problem}-conflict", figures.conflict_over_training(measured), f"{over}; bands are 95 % intervals."
            ),
            "layers": _layers(problem, sources, out),
        })  # fmt: skip
    return entries


def _layers(problem: str, sources: Sources, out: Output) -> dict[str, Any] | None:
    """One sentence and one figure on the shared layers of a problem; None where no run recorded them."""
    found = sources.measured.observed.get(problem)
    if found is None:
        return None
    method, runs = found.principal, observing(of(sources.groups, problem))
    shown = observed_tables.spoken(runs[method][0])
    null = ", and against two halves of one task's batch" if found.halves else ""
    bands = "bands and bars are 95 % intervals over seeds"
    return {
        "sentence": observed_tables.sentence(found, runs),
        "first": out.figure(
            f"{problem}-layers", observed_figures.over_layers(runs[method]),
            f"{title(problem)}: shared layers, dark at the input, while training with {shown}{null}. Where layers are "
            "many, a line is the mean of neighbours (of curvature their sum). Dotted, in each line's colour: two "
            f"standard deviations below 0 of one step's cosine between random directions; {bands}.",
        ),
    }  # fmt: skip


def sheets(sources: Sources, out: Output) -> list[dict[str, Any]]:
    """Tables of the observatory that not every report has, each with a sentence above it."""
    parts = condition.sentence(sources)
    made = [
        (
            "conflict-methods", "Cosine and curvature by method", observed_tables.method_table(sources),
            "Means over training on the whole shared vector; differences are paired by seed, Holm over the methods "
            "of a problem, or over its layers.",
        ),
        (
            "conflict-layers", "Every shared layer", observed_tables.layer_table(sources),
            "p is two-sided, of the difference to halves of one task's batch where that was measured, else of the "
            "cosine against 0. Curvature is the layer's share of that of the whole step.",
        ),
        (
            "pcgrad-condition", "PCGrad's three-part condition, share of diagnosed steps (%)",
            condition.table(sources),
            f"{parts} The shares are upper bounds: parts (b) and (c) name a Lipschitz constant that nobody knows, "
            "so what they imply is counted, each column with those before it. Intervals are over seeds; where seeds "
            "agree exactly they are those of the steps, taken as independent.",
        ),
    ]  # fmt: skip
    return [
        {"title": name, "note": note, "table": out.table(key, frame)} for key, name, frame, note in made if len(frame)
    ]


def table(sources: Sources) -> pd.DataFrame:
    """Mean of every diagnostic over training, with its interval over seeds."""
    rows = []
    for problem in sources.data:
        for method, group in of(sources.groups, problem).items():
            found = sources.measured.activity.get(group[0].experiment, {})
            if found:
                cells = {text: PLAIN.say(found.get(key), digits=3) for key, text in MEASURED.items()}
                name = source(group[0].experiment, label(method))
                rows.append({"problem": title(problem), "method": name, **cells, "n": len(group)})
    return pd.DataFrame(rows, columns=["problem", "method", *MEASURED.values(), "n"])
