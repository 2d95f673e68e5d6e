"""metrics.json as tables: one flat one for machines, and one per problem for people, with intervals."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from gradsurgery.reporting.style import label

Metrics = Mapping[str, Mapping[str, Any]]


def results(metrics: Metrics) -> pd.DataFrame:
    """Every summary of metrics.json, one a row: experiment, metric, mean, sd, low, high, n and how it was chosen."""
    rows = []
    for experiment in sorted(metrics):
        record = metrics[experiment]
        fixed = {"experiment": experiment, **{k: record[k] for k in ("problem", "method", "scale", "track")}}
        for name, entry in record.items():
            if isinstance(entry, Mapping) and "mean" in entry:
                rows.append({**fixed, "selection": record["selection"], "metric": name, **_flat(entry)})
        for name, entry in record.get("minus_sum", {}).items():
            rows.append({**fixed, "selection": record["selection"], "metric": f"{name} minus sum", **_flat(entry)})
    columns = [
        "experiment", "problem", "method", "scale", "track", "selection", "metric", "mean", "sd", "low", "high", "n"
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    low, high = entry["ci95"] or (None, None)
    return {"mean": entry["mean"], "sd": entry["sd"], "low": low, "high": high, "n": entry["n"]}


def task_metrics(record: Mapping[str, Any]) -> list[str]:
    """Names of the `<task>.<metric>` entries of one experiment, in the order of its selection-rule block."""
    return list(record["rules"]["last"])


def spread(entry: Mapping[str, Any] | None, digits: int = 2, factor: float = 1.0, signed: bool = False) -> str:
    """`90.12 [89.80, 90.44]`, or the bare mean when there is one repeat only, or a dash when there is none."""
    if entry is None:
        return "-"
    sign = "+" if signed else ""
    text = f"{entry['mean'] * factor:{sign}.{digits}f}"
    if entry["ci95"] is None:
        return text
    low, high = (value * factor for value in entry["ci95"])
    return f"{text} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def problem_table(metrics: Metrics, problem: str) -> pd.DataFrame:
    """One row per method of an image problem: per cent, both Delta-m, mean rank, difference to the sum."""
    rows = []
    for record in (metrics[name] for name in sorted(metrics) if metrics[name]["problem"] == problem):
        row: dict[str, Any] = {"method": label(record["method"])}
        names = sorted({m for r in metrics.values() if r["problem"] == problem for m in task_metrics(r)})
        for name in names:
            row[f"{name} (%)"] = spread(record.get(name), factor=100.0)
        row["minus sum, mean of tasks (points)"] = spread(
            record.get("minus_sum", {}).get("all"), factor=100.0, signed=True
        )
        row["Delta-m, metrics (%)"] = spread(record.get("delta_m_metric"), signed=True)
        row["Delta-m, tasks (%)"] = spread(record.get("delta_m_task"), signed=True)
        row["mean rank"] = spread(record.get("mean_rank"))
        row["n"] = record["n"]
        rows.append(row)
    return pd.DataFrame(rows)


def rules_table(metrics: Metrics, problem: str) -> pd.DataFrame:
    """The same runs under the three selection rules; the last column is what choosing on test would have added."""
    rows = []
    for record in (metrics[name] for name in sorted(metrics) if metrics[name]["problem"] == problem):
        means = {rule: 100 * sum(r.values()) / len(r) for rule, r in record["rules"].items()}
        rows.append({
            "method": label(record["method"]),
            **{f"{rule} (%)": f"{means[rule]:.2f}" for rule in ("best-val", "last", "best-test")},
            "optimism of best-test (points)": f"{means['best-test'] - means['best-val']:+.2f}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def landscape_table(metrics: Metrics, problem: str) -> pd.DataFrame:
    """One row per method of a landscape: how many starts it solves, where they end, how soon the slowest got there."""
    rows = []
    for record in (metrics[name] for name in sorted(metrics) if metrics[name]["problem"] == problem):
        end = record["landscape"]
        reached = [step for step in end["first_solved"] if step is not None]
        rows.append({
            "method": label(record["method"]),
            "starts": end["starts"],
            "solved": end["solved"],
            "stuck above zero": end["stuck"],
            "mean task loss at the end (min to max)": f"{min(end['end_loss']):.2f} to {max(end['end_loss']):.2f}",
            "first solved, slowest start (step)": max(reached) if len(reached) == end["starts"] else "-",
        })  # fmt: skip
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """A pipe table. Written out here because pandas needs one more package for it."""
    cells = [list(table.columns), ["---"] * len(table.columns), *table.astype(object).values.tolist()]
    return "".join("| " + " | ".join(_escape(cell) for cell in row) + " |\n" for row in cells)


def _escape(cell: object) -> str:
    return "-" if cell is None else str(cell).replace("|", "\\|")
