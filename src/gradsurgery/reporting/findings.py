"""Plain sentences and verdict words, made from the numbers and never stronger than they are.

The words are those of protocol.md 1.2, fixed before any run: `reproduced`, `direction only`, `not reproduced`,
`no difference detected`, `not run (reason)`. A landscape at full length can reproduce a count or a bound; an image
problem below `scale: paper` can at best show a direction. Difference claims compare runs paired by seed (by start on a
landscape) and need a 95 % interval that leaves zero out; a difference of accuracies must besides be larger than the
test set's size alone can explain, because three seeds that share a test set can agree on an accident of it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from gradsurgery.reporting.history import Run
from gradsurgery.reporting.published import Record
from gradsurgery.reporting.selection import select
from gradsurgery.reporting.statistics import Summary, summarise, test_noise
from gradsurgery.reporting.style import label

Groups = Mapping[str, Sequence[Run]]
Metrics = Mapping[str, Mapping[str, Any]]

TOLERANCE = {"accuracy": 0.5, "miou": 0.5, "delta_m": 1.0}  # points; protocol.md 1.2


@dataclasses.dataclass(frozen=True)
class Finding:
    """A record beside our evidence."""

    record: Record
    ours: str
    where: str
    verdict: str


def judge(record: Record, groups: Groups, metrics: Metrics) -> Finding:
    """Our answer to one published record."""
    answer = record.answered_by
    if answer is None:
        return Finding(record, "-", "-", f"not run ({record.unanswered})")
    missing = [name for name in (answer.experiment, answer.minus) if name is not None and name not in groups]
    if missing:
        return Finding(record, "-", "-", f"not run (no history of {missing[0]})")
    run = groups[answer.experiment][0]
    landscape = run.trajectory is not None
    where = f"{'full length' if landscape and run.scale != 'smoke' else run.scale}, {run.track}"
    if landscape and run.scale == "smoke":
        return Finding(record, "-", where, "not run (smoke scale is too short to say)")
    if record.kind in ("count", "at_least", "at_most"):
        end = metrics[answer.experiment]["landscape"]
        count = end[answer.metric]
        holds = {"count": count == record.value, "at_least": count >= record.value, "at_most": count <= record.value}
        return Finding(
            record, f"{count} of {end['starts']}", where, "reproduced" if holds[record.kind] else "not reproduced"
        )
    if record.kind == "difference":
        summary = _difference(groups[answer.experiment], groups[str(answer.minus)], answer.metric, metrics)
        noise = _noise(run, groups[str(answer.minus)][0], answer.metric, metrics)
        return Finding(
            record, _say(summary, _digits(answer.metric)), where, direction(summary, record.direction, noise)
        )
    summary = summarise([_value(r, answer.metric, metrics) for r in groups[answer.experiment]])
    return Finding(record, _say(summary, 2, signed=False), where, _level(record, summary, run.scale))


def direction(summary: Summary, claimed: str | None, noise: float = 0.0) -> str:
    """`direction only`, `not reproduced` or `no difference detected` for a paired difference against a claimed sign.

    Args:
        summary: the paired difference.
        claimed: "higher" or "lower".
        noise: what the size of the test set alone can move it by.
    """
    if summary.low is None or summary.high is None:
        return "not run (one repeat has no interval)"
    if summary.low <= 0.0 <= summary.high or abs(summary.mean) <= noise:
        return "no difference detected"
    return "direction only" if (summary.mean > 0) == (claimed == "higher") else "not reproduced"


def _level(record: Record, summary: Summary, scale: str) -> str:
    if scale != "paper":
        return "not run (needs scale: paper)"
    if summary.sd is None:
        return "not run (one repeat has no interval)"
    # The published mean must lie in the interval that predicts a mean of as many seeds as the paper ran.
    width = float(student.ppf(0.975, summary.n - 1)) * summary.sd * (1 / summary.n + 1 / (record.seeds or 1)) ** 0.5
    near = abs(summary.mean - record.value) <= TOLERANCE.get(record.metric.split(".")[-1], 0.0)
    return "reproduced" if near and abs(summary.mean - record.value) <= width else "not reproduced"


def _difference(runs: Sequence[Run], others: Sequence[Run], metric: str, metrics: Metrics) -> Summary:
    if metric == "end_total":
        ends = [np.array(r[0].trajectory["losses"][-1] if r[0].trajectory else []).sum(axis=1) for r in (runs, others)]
        return summarise((ends[0] - ends[1]).tolist())
    theirs = {run.seed: _value(run, metric, metrics) for run in others}
    return summarise([_value(run, metric, metrics) - theirs[run.seed] for run in runs if run.seed in theirs])


def _noise(run: Run, other: Run, metric: str, metrics: Metrics) -> float:
    """In points, as `_value`; 0 for what is not an accuracy on a test set."""
    if run.test_size is None or not metric.endswith(".accuracy"):
        return 0.0
    shares = [metrics[name.experiment][metric]["mean"] for name in (run, other)]
    return 100 * test_noise([(shares[0], shares[1])], run.test_size)


def _value(run: Run, metric: str, metrics: Metrics) -> float:
    if metric == "final_train_loss":
        return float(np.mean([run.epochs[-1][f"train.{task}.loss"] for task in run.tasks]))
    return 100 * select(run, metrics[run.experiment]["selection"])[metric]  # accuracies are shares; papers print points


def _digits(metric: str) -> int:
    return {"end_total": 1, "final_train_loss": 3}.get(metric, 2)


def _say(summary: Summary, digits: int, signed: bool = True) -> str:
    sign = "+" if signed else ""
    text = f"{summary.mean:{sign}.{digits}f}"
    if summary.low is None:
        return f"{text} (n = 1)"
    return f"{text} [{summary.low:{sign}.{digits}f}, {summary.high:{sign}.{digits}f}] (n = {summary.n})"


def published_value(record: Record) -> str:
    """The value with the bound or sign that the claim makes, and what a reader must know before trusting it."""
    bound = {"at_least": "at least ", "at_most": "at most "}.get(record.kind, "")
    value = f"{record.value:+g}" if record.kind == "difference" else f"{bound}{record.value:g}"
    if record.origin == "recomputed":
        return f"{value} (not printed; recomputed)"
    return f"{value} (doubtful)" if record.doubtful else value


def paper_sentence(findings: Sequence[Finding]) -> str:
    """One sentence on a paper: how its claims fared, by verdict word, for and against alike."""
    words = ["reproduced", "direction only", "no difference detected", "not reproduced", "not run"]
    claims = [f for f in findings if f.record.answered_by]
    counts = {word: sum(f.verdict.startswith(word) for f in claims) for word in words}
    parts = [f"{word} {count}" for word, count in counts.items() if count]
    return f"Of {len(claims)} testable claims and controls: {', '.join(parts)}." if parts else "No claim can be tested."


def landscape_sentence(problem: str, metrics: Metrics) -> str:
    """How many starts each method solves, and which are stuck."""
    rows = {r["method"]: r["landscape"] for r in metrics.values() if r["problem"] == problem}
    starts = next(iter(rows.values()))["starts"]
    parts = []
    for count in sorted({row["solved"] for row in rows.values()}, reverse=True):
        names = ", ".join(f"({label(m)})" if "," in label(m) else label(m) for m in rows if rows[m]["solved"] == count)
        many = {starts: f"all {starts} starts", 0: "none"}.get(count, str(count))
        parts.append(f"from {many}: {names}")
    sentence = f"Solved {'; '.join(parts)}."
    stuck = [f"{label(m)} from {row['stuck']}" for m, row in rows.items() if row["stuck"]]
    return f"{sentence} Stuck above zero loss, of {starts} starts: {'; '.join(stuck)}." if stuck else sentence


def image_sentence(problem: str, metrics: Metrics) -> str:
    """Which methods differ from the sum beyond the noise of seeds and test set, in which direction and by how much."""
    records = [r for r in metrics.values() if r["problem"] == problem and "all" in r.get("minus_sum", {})]
    if not records:
        return "The sum was not run, so that nothing can be compared with it."
    better: list[str] = []
    worse: list[str] = []
    same: list[str] = []
    alone: list[str] = []
    for record in sorted(records, key=lambda r: -r["minus_sum"]["all"]["mean"]):
        entry, name = record["minus_sum"]["all"], label(record["method"])
        if entry["ci95"] is None:
            alone.append(name)
            continue
        low, high = (100 * v for v in entry["ci95"])
        text = f"{name} ({100 * entry['mean']:+.2f} [{low:+.2f}, {high:+.2f}])"
        found = (low > 0 or high < 0) and abs(entry["mean"]) > entry.get("test_noise", 0.0)
        (same if not found else better if low > 0 else worse).append(text if found else name)
    n = max(r["n"] for r in records)
    parts = [f"more accurate than the sum: {', '.join(better)}"] if better else []
    parts += [f"less accurate: {', '.join(worse)}"] if worse else []
    parts += [f"no difference detected beyond the noise of seeds and test set: {', '.join(same)}"] if same else []
    parts += [f"one seed only, no interval: {', '.join(alone)}"] if alone else []
    tail = f" Points of accuracy, mean of tasks, paired over {n} seeds, scale {records[0]['scale']}; uncorrected for"
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}.{tail} {len(records)} comparisons."
