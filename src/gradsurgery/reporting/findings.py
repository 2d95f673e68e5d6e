"""Plain sentences and verdict words, made from the numbers and never stronger than they are.

The words are those of protocol.md 1.2, fixed before any run: `reproduced`, `direction only`, `not reproduced`,
`no difference detected`, `not run (reason)`. A landscape at full length can reproduce a count or a bound; a problem
with data can below `scale: paper`, or on a twin of the published setting, at best show a direction. Difference claims
compare runs paired by seed (by start on a landscape) and need a 95 % interval that leaves zero out; a difference of
accuracies must besides be larger than the test set's size alone can explain, because three seeds that share a test set
can agree on an accident of it. For other metrics that size is not known here, and `why` says so.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from gradsurgery.reporting.history import Run
from gradsurgery.reporting.measures import Measure, by_word, capital, measure
from gradsurgery.reporting.published import Answer, Record
from gradsurgery.reporting.selection import select
from gradsurgery.reporting.statistics import Summary, summarise, test_noise
from gradsurgery.reporting.style import label

Groups = Mapping[str, Sequence[Run]]
Metrics = Mapping[str, Mapping[str, Any]]

# Points, or the metric's own unit; protocol.md 1.2. An AUC is held to half a point like an accuracy.
TOLERANCE = {"accuracy": 0.5, "miou": 0.5, "error": 0.5, "auc": 0.005, "delta_m": 1.0, "mean_rank": 0.1}
WORDS = ("reproduced", "direction only", "no difference detected", "not reproduced", "not run")
CONFLICT = ("conflict_share", "severe_conflict")  # measured on the gradients before surgery, on the logged steps
SEVERE = -0.01  # cosine below which Recon's Table 6 counts a conflict as severe


# What an answer may name beside a problem's own metrics; measured on every run that has it.
_DERIVED = {
    "end_total": Measure("total loss at the end", 1.0, 1, "", ""),
    "final_train_loss": Measure("training loss at the end", 1.0, 3, "", ""),
    "conflict_share": Measure("pairs in conflict", 100.0, 1, "%", "points"),
    "severe_conflict": Measure("steps in severe conflict", 100.0, 1, "%", "points"),
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """A record beside our evidence; `why` says in words how the verdict follows from it."""

    record: Record
    ours: str
    where: str
    verdict: str
    why: str = ""


def judge(record: Record, groups: Groups, metrics: Metrics) -> Finding:
    """Our answer to one published record. Raises ValueError where it names a metric that the experiment lacks."""
    answer = record.answered_by
    if answer is None:
        return Finding(record, "-", "-", f"not run ({record.unanswered})")
    missing = [name for name in (answer.experiment, answer.minus) if name is not None and name not in groups]
    if missing:
        return Finding(record, "-", "-", f"not run (no history of {missing[0]})")
    run = groups[answer.experiment][0]
    landscape = run.trajectory is not None
    where = f"{'full length' if landscape and run.scale != 'smoke' else run.scale}, {run.track}"
    where = f"{where}, twin" if record.twin else where
    if landscape and run.scale == "smoke":
        return Finding(record, "-", where, "not run (smoke scale is too short to say)")
    compared = [run for name in (answer.experiment, answer.minus) if name for run in groups[name]]
    if answer.metric in CONFLICT and not all(_cosines(each) for each in compared):
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
    summary = summarise(_values(groups[answer.experiment], answer.metric, metrics))
    shifted = dataclasses.replace(
        summary, mean=summary.mean - record.value,
        low=None if summary.low is None else summary.low - record.value,
        high=None if summary.high is None else summary.high - record.value,
    )  # fmt: skip
    verdict = direction(shifted, "lower" if record.kind == "at_most" else "higher")
    words = {"direction only": "our whole interval lies on the side that is said", "not reproduced": "our whole "
             "interval lies on the other side", "no difference detected": "the bound lies in our interval"}  # fmt: skip
    return Finding(record, _say(summary, answer.metric, signed=False), where, verdict, words.get(verdict, ""))


def _compared(record: Record, answer: Answer, where: str, groups: Groups, metrics: Metrics) -> Finding:
    runs, others = groups[answer.experiment], groups[str(answer.minus)]
    summary = _difference(runs, others, answer.metric, metrics)
    noise = _noise(runs[0], others[0], answer.metric, metrics)
    verdict = direction(summary, record.direction, noise)
    if record.kind == "no_difference" and verdict in ("direction only", "not reproduced"):
        # what is claimed is that nothing changes this way: the other way agrees with it
        verdict = "not reproduced" if verdict == "direction only" else "direction only"
    return Finding(record, _say(summary, answer.metric), where, verdict, _why(summary, answer.metric, noise))


def _level(record: Record, answer: Answer, where: str, groups: Groups, metrics: Metrics) -> Finding:
    """A cell of a table: its number at scale paper, else the sign of its distance from the table's baseline."""
    assert record.value is not None
    runs = groups[answer.experiment]
    summary = summarise(_values(runs, answer.metric, metrics))
    ours = _say(summary, answer.metric, signed=False)
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
    difference = _difference(runs, others, answer.metric, metrics)
    noise = _noise(runs[0], others[0], answer.metric, metrics)
    verdict = direction(difference, "higher" if record.margin > 0 else "lower", noise)
    ours = f"{ours}; minus baseline {_say(difference, answer.metric)}"
    why = f"published minus its baseline {record.margin:+.4g}; {_why(difference, answer.metric, noise)}"
    return Finding(record, ours, where, verdict, why)


def _why(summary: Summary, metric: str, noise: float) -> str:
    if summary.low is None or summary.high is None:
        return ""
    if summary.low <= 0.0 <= summary.high:
        return f"paired difference over {summary.n} repeats, its interval holds zero"
    if abs(summary.mean) <= noise:
        return f"the interval leaves zero out, but the test set's size alone explains {noise:.{_shown(metric).digits}f}"
    side = "above" if summary.mean > 0 else "below"
    known = "" if noise or metric == "end_total" else "; what the test set's size can explain is not in it"
    return f"paired difference over {summary.n} repeats, its whole interval lies {side} zero{known}"


def _difference(runs: Sequence[Run], others: Sequence[Run], metric: str, metrics: Metrics) -> Summary:
    if metric == "end_total":
        ends = [np.array(r[0].trajectory["losses"][-1] if r[0].trajectory else []).sum(axis=1) for r in (runs, others)]
        return summarise((ends[0] - ends[1]).tolist())
    theirs = {run.seed: _value(run, metric, metrics) for run in others}
    shared = [run for run in runs if run.seed in theirs]
    if not shared:
        names = f"{runs[0].experiment} and {others[0].experiment}"
        raise ValueError(f"`answered_by` must name experiments that share a seed, found none in {names}.")
    return summarise([_value(run, metric, metrics) - theirs[run.seed] for run in shared])


def _noise(run: Run, other: Run, metric: str, metrics: Metrics) -> float:
    """In points, as `_value`; 0 for what is not an accuracy on a test set of known size."""
    size = run.test_size if metric.startswith("all.") else run.examples(metric.split(".")[0])
    if size is None or not metric.endswith(".accuracy"):
        return 0.0
    names = _names(run, metric)
    means = [float(np.mean([metrics[each.experiment][name]["mean"] for name in names])) for each in (run, other)]
    return 100 * test_noise([(means[0], means[1])], size)  # tasks as fully dependent: an upper bound


def _names(run: Run, metric: str) -> list[str]:
    """`all.accuracy` stands for the accuracies of all tasks, unless there is a task called so."""
    if metric in run.own_metrics or not metric.startswith("all."):
        return [metric]
    return by_word(run.own_metrics).get(metric.removeprefix("all."), [])


def _shown(metric: str) -> Measure:
    return _DERIVED.get(metric) or measure(metric)


def _values(runs: Sequence[Run], metric: str, metrics: Metrics) -> list[float]:
    return [_value(run, metric, metrics) for run in runs]


def _value(run: Run, metric: str, metrics: Metrics) -> float:
    """One run's number in the unit that papers print."""
    factor = _shown(metric).factor
    if metric == "final_train_loss":
        return float(np.mean([run.epochs[-1][f"train.{task}.loss"] for task in run.tasks]))
    if metric in CONFLICT:
        return factor * _conflict(run, metric)
    chosen, names = select(run, metrics[run.experiment]["selection"]), _names(run, metric)
    if not names or any(name not in chosen for name in names):
        raise ValueError(f"`metric` must be one that {run.experiment} has ({', '.join(chosen)}), found {metric!r}.")
    return factor * float(np.mean([chosen[name] for name in names]))


def _cosines(run: Run) -> list[dict[str, Any]]:
    """The logged steps that hold cosines; rules log other rows beside them."""
    return [row for row in run.diagnostics if row.get("mean_cosine") is not None]


def _conflict(run: Run, metric: str) -> float:
    rows = _cosines(run)
    if metric == "conflict_share":
        return float(np.mean([row["conflict_share"] for row in rows]))
    if len(run.tasks) != 2:
        raise ValueError(f"`severe_conflict` must be asked of two tasks, found {len(run.tasks)} in {run.experiment}.")
    return float(np.mean([row["mean_cosine"] < SEVERE for row in rows]))  # of two tasks the mean is the cosine


def _say(summary: Summary, metric: str, signed: bool = True) -> str:
    sign, digits = "+" if signed else "", _shown(metric).digits
    text = f"{summary.mean:{sign}.{digits}f}"
    if summary.low is None:
        return f"{text} (n = {summary.n})"
    return f"{text} [{summary.low:{sign}.{digits}f}, {summary.high:{sign}.{digits}f}] (n = {summary.n})"


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
    """Which methods differ from the sum beyond the noise of seeds and test set, in which direction and by how much.

    Of the mean over tasks where every task has the same metric, else one sentence for each kind of metric.
    """
    records = [r for r in metrics.values() if r["problem"] == problem and r.get("minus_sum")]
    if not records:
        return "The sum was not run, so that nothing can be compared with it."
    names = ["all"] if all("all" in r["minus_sum"] for r in records) else _kinds(records[0]["minus_sum"])
    return " ".join(_metric_sentence(name, records) for name in names)


def _kinds(differences: Mapping[str, Any]) -> list[str]:
    return [name for name in differences if name.startswith("all.")]


def _metric_sentence(name: str, records: Sequence[Mapping[str, Any]]) -> str:
    first = records[0]["minus_sum"]
    metric = name if name != "all" else _kinds(first)[0]
    shown, accuracy = measure(metric), metric.endswith(".accuracy")
    groups: dict[str, list[str]] = {"better": [], "worse": [], "same": [], "alone": []}
    best_first = sorted(records, key=lambda r: r["minus_sum"][name]["mean"], reverse=first[name]["higher"])
    for record in best_first:
        entry, method = record["minus_sum"][name], label(record["method"])
        if entry["ci95"] is None:
            groups["alone"].append(method)
            continue
        mean, low, high = (f"{shown.factor * v:+.{shown.digits}f}" for v in (entry["mean"], *entry["ci95"]))
        text = f"{method} ({mean} [{low}, {high}])"
        found = entry["ci95"][0] > 0 or entry["ci95"][1] < 0
        found = found and abs(entry["mean"]) > entry.get("test_noise", 0.0) and (entry.get("p_holm") or 0.0) < 0.05
        place = "same" if not found else "better" if (entry["mean"] > 0) == entry["higher"] else "worse"
        groups[place].append(text if found else method)
    words = {
        "better": "more accurate than the sum" if accuracy else "better than the sum",
        "worse": "less accurate" if accuracy else "worse",
        "same": f"no difference detected beyond the noise of seeds{' and test set' if accuracy else ''}",
        "alone": "one seed only, no interval",
    }
    sentence = "; ".join(f"{words[key]}: {', '.join(methods)}" for key, methods in groups.items() if methods)
    kind = metric.removeprefix("all.")
    tasks = [key for key in first if key.endswith(f".{kind}") and not key.startswith("all.")]
    told = f"{shown.step} of {shown.name}" if shown.step else shown.name
    told = f"{told}, mean of tasks" if len(tasks) > 1 else told
    tail = f"paired over {max(r['n'] for r in records)} seeds, scale {records[0]['scale']}"
    holm = all("p_holm" in r["minus_sum"][name] for r in records)
    tail += f"; {'corrected (Holm)' if holm else 'uncorrected'} for {len(records)} comparisons."
    return f"{capital(sentence)}. {capital(told)}, {tail}"
