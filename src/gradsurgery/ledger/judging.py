"""Verdict words, made from the numbers and never stronger than they are.

The words are those of protocol.md 1.2, fixed before any run: `reproduced`, `direction only`, `not reproduced`, `no
difference detected`, `not run (reason)`, and `diverged (seed, epoch)` where a run that it needs did. A landscape at
full length can reproduce a count or a bound; a problem with data can below `scale: paper`, or on a twin of the
published setting, at best show a direction. Difference claims compare runs paired by seed (by start on a landscape)
and need a 95 % interval that leaves zero out; a difference of accuracies must besides be larger than the test set's
size alone can explain, because three seeds that share a test set can agree on an accident of it. For other metrics
that size is not known here, and `why` says so.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import t as student

from gradsurgery.evidence import diverged
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.noise import auc_noise
from gradsurgery.evidence.statistics import Summary, summarise
from gradsurgery.ledger.measured import CONFLICT, cosines_of, difference_of, noise_of, shown, told, values_of
from gradsurgery.ledger.records import Answer, Record

Groups = Mapping[str, Sequence[Run]]
Metrics = Mapping[str, Mapping[str, Any]]

# Points, or the metric's own unit; protocol.md 1.2. An AUC is held to half a point like an accuracy.
TOLERANCE = {"accuracy": 0.5, "miou": 0.5, "error": 0.5, "auc": 0.005, "delta_m": 1.0, "mean_rank": 0.1}
WORDS = ("reproduced", "direction only", "no difference detected", "not reproduced", "diverged", "not run")


@dataclasses.dataclass(frozen=True)
class Finding:
    """A record beside our evidence; `why` says in words how the verdict follows from it."""

    record: Record
    ours: str
    where: str
    verdict: str
    why: str = ""


def judge(record: Record, groups: Groups, metrics: Metrics, gone: Groups | None = None) -> Finding:
    """Our answer to one published record; `gone` are runs of experiments that diverged, which `groups` does not hold.

    Raises ValueError where the record names a metric that the experiment lacks."""
    answer = record.answered_by
    if answer is None:
        return Finding(record, "-", "-", f"not run ({record.unanswered})")
    missing = [name for name in (answer.experiment, answer.minus) if name is not None and name not in groups]
    if missing and gone and (runs := gone.get(missing[0])):
        why = f"{missing[0]} left the finite numbers, and nothing is said of the seeds that did not"
        return Finding(record, "-", f"{runs[0].scale}, {runs[0].track}", diverged.told(runs), why)
    if missing:
        return Finding(record, "-", "-", f"not run (no history of {missing[0]})")
    run = groups[answer.experiment][0]
    landscape = run.trajectory is not None
    where = f"{'full length' if landscape and run.scale != 'smoke' else run.scale}, {run.track}"
    where = f"{where}, twin" if record.twin else where
    if landscape and run.scale == "smoke":
        return Finding(record, "-", where, "not run (smoke scale is too short to say)")
    compared = [run for name in (answer.experiment, answer.minus) if name for run in groups[name]]
    if answer.metric in CONFLICT and not all(cosines_of(each) for each in compared):
        return Finding(record, "-", where, "not run (the runs logged no cosines)")
    if record.kind in ("count", "at_least", "at_most") and landscape:
        return _counted(record, answer, where, metrics)
    if record.kind in ("count", "at_least", "at_most"):
        return _bounded(record, answer, where, groups, metrics)
    if record.kind in ("difference", "no_difference"):
        return _compared(record, answer, where, groups, metrics)
    return _level(record, answer, where, groups, metrics)


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


def _counted(record: Record, answer: Answer, where: str, metrics: Metrics) -> Finding:
    assert record.value is not None
    end = metrics[answer.experiment]["landscape"]
    count = end[answer.metric]
    holds = {"count": count == record.value, "at_least": count >= record.value, "at_most": count <= record.value}
    verdict = "reproduced" if holds[record.kind] else "not reproduced"
    why = f"{count} of {end['starts']} starts against {published_value(record)}"
    return Finding(record, f"{count} of {end['starts']}", where, verdict, why)


def _bounded(record: Record, answer: Answer, where: str, groups: Groups, metrics: Metrics) -> Finding:
    """A bound on a metric: below scale paper it can only be said on which side of it our interval lies."""
    assert record.value is not None
    summary = summarise(values_of(groups[answer.experiment], answer.metric, metrics))
    shifted = dataclasses.replace(
        summary, mean=summary.mean - record.value,
        low=None if summary.low is None else summary.low - record.value,
        high=None if summary.high is None else summary.high - record.value,
    )  # fmt: skip
    noise = auc_noise([summary.mean], *record.classes) if record.classes else 0.0
    verdict = direction(shifted, "lower" if record.kind == "at_most" else "higher", noise)
    words = {"direction only": "our whole interval lies on the side that is said", "not reproduced": "our whole "
             "interval lies on the other side", "no difference detected": "the bound lies in our "
             "interval, or no further from it than the test set's size explains"}  # fmt: skip
    return Finding(record, told(summary, answer.metric, signed=False), where, verdict, words.get(verdict, ""))


def _compared(record: Record, answer: Answer, where: str, groups: Groups, metrics: Metrics) -> Finding:
    runs, others = groups[answer.experiment], groups[str(answer.minus)]
    summary = difference_of(runs, others, answer.metric, metrics)
    noise = noise_of(runs[0], others[0], answer.metric, metrics, record.classes)
    verdict = direction(summary, record.direction, noise)
    if record.kind == "no_difference" and verdict in ("direction only", "not reproduced"):
        # what is claimed is that nothing changes this way: the other way agrees with it
        verdict = "not reproduced" if verdict == "direction only" else "direction only"
    return Finding(record, told(summary, answer.metric), where, verdict, _why(summary, answer.metric, noise))


def _level(record: Record, answer: Answer, where: str, groups: Groups, metrics: Metrics) -> Finding:
    """A cell of a table: its number at scale paper, else the sign of its distance from the table's baseline."""
    assert record.value is not None
    runs = groups[answer.experiment]
    summary = summarise(values_of(runs, answer.metric, metrics))
    ours = told(summary, answer.metric, signed=False)
    exact = runs[0].scale == "paper" and record.twin is None
    if exact and summary.sd is None:
        return Finding(record, ours, where, "not run (one repeat has no interval)")
    if exact:
        assert summary.sd is not None
        # The published mean must lie in the interval that predicts a mean of as many seeds as the paper ran.
        width = float(student.ppf(0.975, summary.n - 1)) * summary.sd * (1 / summary.n + 1 / (record.seeds or 1)) ** 0.5
        distance = abs(summary.mean - record.value)
        if distance <= min(width, TOLERANCE.get(record.metric.split(".")[-1], 0.0)):
            why = "the published mean lies within the tolerance and in our prediction interval"
            return Finding(record, ours, where, "reproduced", why)
    if answer.minus is None or not record.margin:
        verdict = "not reproduced" if exact else "not run (needs scale: paper)"
        return Finding(record, ours, where, verdict, "" if exact else "a level means nothing at another scale")
    others = groups[answer.minus]
    difference = difference_of(runs, others, answer.metric, metrics)
    noise = noise_of(runs[0], others[0], answer.metric, metrics, record.classes)
    verdict = direction(difference, "higher" if record.margin > 0 else "lower", noise)
    ours = f"{ours}; minus baseline {told(difference, answer.metric)}"
    why = f"published minus its baseline {record.margin:+.4g}; {_why(difference, answer.metric, noise)}"
    return Finding(record, ours, where, verdict, why)


def _why(summary: Summary, metric: str, noise: float) -> str:
    if summary.low is None or summary.high is None:
        return ""
    if summary.low <= 0.0 <= summary.high:
        return f"paired difference over {summary.n} repeats, its interval holds zero"
    if abs(summary.mean) <= noise:
        return f"the interval leaves zero out, but the test set's size alone explains {noise:.{shown(metric).digits}f}"
    side = "above" if summary.mean > 0 else "below"
    known = "" if noise or metric == "end_total" else "; what the test set's size can explain is not in it"
    return f"paired difference over {summary.n} repeats, its whole interval lies {side} zero{known}"


def is_cell(record: Record) -> bool:
    """Whether a record is a cell of a printed table (`<paper>/<table>/<row>/<metric>`) and no claim of its own."""
    return record.id.count("/") > 1


def published_value(record: Record) -> str:
    """The value with the bound or sign that the claim makes, and what a reader must know before trusting it."""
    bound = {"at_least": "at least ", "at_most": "at most "}.get(record.kind, "")
    if record.value is None:
        return f"{record.direction}, not printed"
    compared = record.kind in ("difference", "no_difference")
    value = f"{record.value:+g}" if compared else f"{bound}{record.value:g}"
    value = value if record.spread is None else f"{value} ± {record.spread:g}"
    if record.origin == "recomputed":
        return f"{value} (not printed; recomputed)"
    return f"{value} (doubtful)" if record.doubtful else value


def paper_sentence(findings: Sequence[Finding]) -> str:
    """One sentence on a paper: how its claims fared, by verdict word, for and against alike."""
    claims = [f for f in findings if f.record.answered_by and not is_cell(f.record)]
    counts = {word: sum(f.verdict.startswith(word) for f in claims) for word in WORDS}
    parts = [f"{word} {count}" for word, count in counts.items() if count]
    return f"Of {len(claims)} testable claims and controls: {', '.join(parts)}." if parts else "No claim can be tested."
