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
from collections.abc import Mapping

from scipy.stats import t as student

from gradsurgery.evidence import diverged
from gradsurgery.evidence.contrasts import Contrast, side_of
from gradsurgery.evidence.groups import Groups, Metrics
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.measures import TOLERANCE, measure
from gradsurgery.evidence.statistics import Summary
from gradsurgery.ledger.measured import CONFLICT, contrast_of, cosines_of, level_of
from gradsurgery.ledger.records import Answer, Record
from gradsurgery.ledger.words import direction

Lines = Mapping[str, Line]


@dataclasses.dataclass(frozen=True)
class Finding:
    """A record beside our evidence; `why` says in words how the verdict follows from it.

    Attributes:
        ours: our number in words, with its interval.
        where: scale and track, and whether the data are a twin.
        level: of the experiment, where the record asks for one, in the metric's own unit.
        contrast: of two lines, where the record asks for a difference.
    """

    record: Record
    ours: str
    where: str
    verdict: str
    why: str = ""
    level: Summary | None = None
    contrast: Contrast | None = None


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
    lines = {n: Line(groups[n], metrics[n]["selection"]) for n in (answer.experiment, answer.minus) if n}
    if record.kind in ("count", "at_least", "at_most"):
        return _bounded(record, answer, where, lines)
    if record.kind in ("difference", "no_difference"):
        return _compared(record, answer, where, lines)
    return _level(record, answer, where, lines)


def _counted(record: Record, answer: Answer, where: str, metrics: Metrics) -> Finding:
    assert record.value is not None
    end = metrics[answer.experiment]["landscape"]
    count = end[answer.metric]
    holds = {"count": count == record.value, "at_least": count >= record.value, "at_most": count <= record.value}
    verdict = "reproduced" if holds[record.kind] else "not reproduced"
    why = f"{count} of {end['starts']} starts against {published_value(record)}"
    return Finding(record, f"{count} of {end['starts']}", where, verdict, why)


def _bounded(record: Record, answer: Answer, where: str, lines: Lines) -> Finding:
    """A bound on a metric: below scale paper it can only be said on which side of it our interval lies."""
    assert record.value is not None
    line = lines[answer.experiment]
    summary = level_of(line, answer.metric)
    beyond = summary.moved(measure(answer.metric).factor, record.value)
    noise = measure(answer.metric).factor * (line.noise(None, answer.metric) or 0.0)
    verdict = direction(side_of(beyond, noise), record.kind != "at_most")
    words = {"direction only": "our whole interval lies on the side that is said", "not reproduced": "our whole "
             "interval lies on the other side", "no difference detected": "the bound lies in our "
             "interval, or no further from it than the test set's size explains"}  # fmt: skip
    ours = _told(summary, answer.metric, signed=False)
    return Finding(record, ours, where, verdict, words.get(verdict, ""), level=summary)


def _compared(record: Record, answer: Answer, where: str, lines: Lines) -> Finding:
    found = contrast_of(lines[answer.experiment], lines[str(answer.minus)], answer.metric, record.direction)
    verdict, why = direction(found.verdict), _why(found)
    if record.kind == "no_difference" and verdict in ("direction only", "not reproduced"):
        # what is claimed is that nothing changes this way: the other way agrees with it
        verdict = "not reproduced" if verdict == "direction only" else "direction only"
    return Finding(record, _told(found.difference, answer.metric), where, verdict, why, contrast=found)


def _level(record: Record, answer: Answer, where: str, lines: Lines) -> Finding:
    """A cell of a table: its number at scale paper, else the sign of its distance from the table's baseline."""
    assert record.value is not None
    line = lines[answer.experiment]
    level = level_of(line, answer.metric)
    ours = _told(level, answer.metric, signed=False)
    exact = line.run.scale == "paper" and record.twin is None
    if exact and level.sd is None:
        return Finding(record, ours, where, "not run (one repeat has no interval)", level=level)
    if exact and _predicts(level.moved(measure(answer.metric).factor), record):
        why = "the published mean lies within the tolerance and in our prediction interval"
        return Finding(record, ours, where, "reproduced", why, level)
    if answer.minus is None or not record.margin:
        verdict = "not reproduced" if exact else "not run (needs scale: paper)"
        why = "" if exact else "a level means nothing at another scale"
        return Finding(record, ours, where, verdict, why, level)
    better = "higher" if record.margin > 0 else "lower"
    found = contrast_of(line, lines[answer.minus], answer.metric, better)
    ours = f"{ours}; minus baseline {_told(found.difference, answer.metric)}"
    why = f"published minus its baseline {record.margin:+.4g}; {_why(found)}"
    return Finding(record, ours, where, direction(found.verdict), why, level, found)


def _predicts(level: Summary, record: Record) -> bool:
    """Whether the published mean lies in the interval that predicts a mean of as many seeds as the paper ran."""
    assert level.sd is not None
    assert record.value is not None
    width = float(student.ppf(0.975, level.n - 1)) * level.sd * (1 / level.n + 1 / (record.seeds or 1)) ** 0.5
    distance = abs(level.mean - record.value)
    return distance <= min(width, TOLERANCE.get(record.metric.split(".")[-1], 0.0))


def _told(summary: Summary, metric: str, signed: bool = True) -> str:
    """`+0.21 [+0.08, +0.34] (n = 3)`."""
    return f"{measure(metric).say(summary, signed)} (n = {summary.n})"


def _why(found: Contrast) -> str:
    summary, noise = found.difference, found.noise or 0.0
    if summary.low is None or summary.high is None:
        return ""
    if summary.low <= 0.0 <= summary.high:
        return f"paired difference over {summary.n} repeats, its interval holds zero"
    if abs(summary.mean) <= noise:
        how = measure(found.metric)
        return f"the interval leaves zero out, but the test set's size alone explains {how.plain(noise)}"
    side = "above" if summary.mean > 0 else "below"
    known = "" if noise or found.metric == "end_total" else "; what the test set's size can explain is not in it"
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
