"""What the tables of such problems hold: levels, differences from MMoE, the published values, the router's path."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.statistics import significant, summarise
from gradsurgery.report.section import Evidence
from gradsurgery.report.tables import source
from gradsurgery.report.tabular.standing import PUBLISHED, Standing, gain, name, say, task

MARKS = (1, 2, 11, 21, 41)  # training steps at which the router is always recorded


def census(evidence: Evidence, found: Standing) -> pd.DataFrame:
    """Our exact AUCs beside the published ones; rows of the paper that we do not run come last."""
    rows: list[dict[str, Any]] = []
    for method in found.best_first():
        runs = found.lines[method]
        row: dict[str, Any] = {"method": source(runs[0].experiment, name(method))}
        for metric in found.metrics:
            row[f"{task(metric)}, exact AUC"] = say(found.levels[metric].get(method))
            row[f"{task(metric)}, minus MMoE (1e-4)"] = gain(found.compared[metric].get(method))
            row[f"{task(metric)}, published"] = _plain(found.theirs(method, metric))
            row[f"{task(metric)}, AUC at 200 thresholds"] = _plain(_coarse(evidence, runs, metric))
        rows.append({**row, "n": len(runs), "scale, track": f"{runs[0].scale}, {runs[0].track}"})
    for theirs in (row for row in found.printed if row not in PUBLISHED.values()):
        cells = {f"{task(metric)}, published": _plain(found.printed[theirs].get(metric)) for metric in found.metrics}
        rows.append({"method": f"{theirs}, published only", **cells, "n": 0, "scale, track": "not run"})
    return pd.DataFrame(rows).fillna("-")


def _coarse(evidence: Evidence, runs: Sequence[Run], metric: str) -> float | None:
    """Mean AUC at 200 thresholds, as DRGrad's code takes it, in the epochs that were selected."""
    chosen = evidence.measured.by_seed[runs[0].experiment].get(metric, [])
    values = []
    for run, value in zip(runs, chosen, strict=False):
        rows = [
            e
            for e in run.epochs
            if significant(e[f"test.{metric}"]) == significant(value) and f"test.{metric}_200" in e
        ]
        values += [float(row[f"test.{metric}_200"]) for row in rows[:1]]
    return float(np.mean(values)) if values else None


def router(routed: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """Where mu' stands after so many steps (mean, least and most over seeds), and how often the towers conflict."""
    rows = []
    for method, runs in routed.items():
        row: dict[str, Any] = {"method": source(runs[0].experiment, name(method))}
        for step in MARKS:
            row[f"mu' at step {step}"] = _range(at(runs, "mu", step))
        row["mu' at the end"] = _range(at(runs, "mu", None))
        for key, text in (("conflict_a", "own and lent tower"), ("conflict_b", "own and other task's tower")):
            shares = [float(np.mean([epoch[f"train.router.{key}"] for epoch in run.epochs])) for run in runs]
            row[f"share of steps in conflict, {text}"] = measure("auc").say(summarise(shares), digits=3)
        rows.append({**row, "n": len(runs)})
    return pd.DataFrame(rows)


def made_up(standings: Sequence[Standing]) -> pd.DataFrame:
    """Every line on every made-up table, in the order of the labels' correlation."""
    rows = []
    for found in standings:
        for method, runs in found.lines.items():
            row: dict[str, Any] = {
                "table": found.problem.replace("_", " "), "label correlation": f"{found.correlation:+.3f}",
                "method": source(runs[0].experiment, name(method)),
            }  # fmt: skip
            for metric in found.metrics:
                row[f"{task(metric)}, exact AUC"] = say(found.levels[metric].get(method))
                row[f"{task(metric)}, minus MMoE (1e-4)"] = gain(found.compared[metric].get(method))
                row[f"{task(metric)}, published"] = _plain(found.theirs(method, metric))
            rows.append({**row, "n": len(runs), "scale, track": f"{runs[0].scale}, {runs[0].track}"})
    return pd.DataFrame(rows)


def recorded(runs: Sequence[Run], key: str) -> Iterator[tuple[list[int], list[float]]]:
    """Training steps, the first being 1, and one of the router's numbers, for every seed."""
    for run in runs:
        rows = [row for row in run.diagnostics if f"rule.{key}" in row]
        yield [int(row["step"]) + 1 for row in rows], [float(row[f"rule.{key}"]) for row in rows]


def at(runs: Sequence[Run], key: str, step: int | None) -> list[float]:
    """The number at the last record up to `step`, or at the last of all, for every seed."""
    found = []
    for steps, values in recorded(runs, key):
        found += [value for when, value in zip(steps, values, strict=True) if step is None or when <= step][-1:]
    return found


def _range(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
