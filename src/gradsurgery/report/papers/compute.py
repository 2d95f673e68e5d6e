"""The section on cost: what surgery methods have over the sum once the sum gets what they take."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from gradsurgery.evidence.groups import of, problems
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import Measure, by_word, capital, measure
from gradsurgery.evidence.statistics import Comparison
from gradsurgery.report.compute import BUDGETS, Paid, begins_alike, long_run, paid
from gradsurgery.report.section import Evidence, Section, Sheet
from gradsurgery.report.style import label
from gradsurgery.report.tables import source
from gradsurgery.report.titles import title

CLAIM = (
    "A surgery method takes one backward pass per task in every step. Papers compare at equal epochs; the same passes "
    "or seconds, given to the plain sum as further epochs, are the comparison that its cost asks for."
)


def section(evidence: Evidence) -> Section | None:
    """Every problem with a long run of the sum; None where no problem has one."""
    sheets, ran, found = list[Sheet](), list[str](), list[str]()
    for problem in problems(evidence.groups):
        runs = of(evidence.groups, problem)
        long = long_run(runs)
        if not long:
            continue
        if not begins_alike(runs):
            found.append(
                f"{title(problem)}: the long run does not begin as the sum, so that no budget is read from it."
            )
            continue
        rule = next(r["selection"] for r in evidence.metrics.values() if r["problem"] == problem)
        if methods := paid(runs, evidence.costs, rule):
            run = runs["sum"][0]
            heading = f"{title(problem)}: surgery methods minus the sum on three budgets"
            sheets.append(Sheet(f"compute-{problem}", heading, table(methods, run)))
            found.append(f"{title(problem)}: {sentence(methods, run)}")
            ran.append(
                f"{title(problem)} (scale {run.scale}, {len(run.epochs)} epochs, n = {len(long)}, the sum up to "
                f"{len(long[0].epochs)} epochs, selection {rule})"
            )
    if not found:
        return None
    said = (
        f"Controlled lines that take more than one backward pass a step: {'; '.join(ran) or 'none'}. Differences are "
        "of means over tasks, paired by seed, with 95 % intervals; more is better. Seconds are those of a median step, "
        "rounded to whole epochs of the sum and never fewer than the problem has. The sum chooses among the epochs of "
        "its budget only, by the same rule as the method."
    )
    brief = " ".join(f"{text.split('. ')[0].rstrip('.')}." for text in found)
    return Section(CLAIM, said, " ".join(found), (), sheets, brief)


def table(found: Mapping[str, Paid], run: Run) -> pd.DataFrame:
    """One row per method: what it costs, and what it has over the sum on each budget."""
    how = measure(next(iter(run.metrics)))
    unit = f" ({how.step})" if how.step else ""
    rows = []
    for method, one in found.items():
        row: dict[str, Any] = {
            "method": source(f"{run.problem}-{method}", label(method)),
            "backward passes, times the sum's": f"{one.passes:g}",
            "seconds a step, times the sum's": f"{one.seconds:.2f}",
        }  # fmt: skip
        for budget in BUDGETS:
            entry, most = one.compared[budget], "only " if budget in one.short else ""
            row[f"minus sum, equal {budget}{unit}"] = _say(entry, how)
            row[f"p after Holm, equal {budget}"] = "-" if entry.p_holm is None else f"{entry.p_holm:.3f}"
            row[f"epochs of the sum, equal {budget}"] = f"{most}{one.epochs[budget]}"
        chance = max(one.noise.values())
        row[f"the test set alone explains{unit}"] = f"{how.factor * chance:.{how.digits}f}" if chance else "-"
        rows.append({**row, "n": one.compared[BUDGETS[0]].difference.n})
    return pd.DataFrame(rows)


def sentence(found: Mapping[str, Paid], run: Run) -> str:
    """Whether the extra cost pays: on each budget, which methods are better or worse than the sum."""
    how = measure(next(iter(run.metrics)))
    parts = []
    for budget in BUDGETS:
        said: dict[str, list[str]] = {}
        for method, one in found.items():
            word = one.word(budget)
            detail = f" {_say(one.compared[budget], how)}" if word in ("better", "worse") else ""
            said.setdefault(word, []).append(f"{_named(method)}{detail}")
        parts.append(f"at equal {budget}, " + "; ".join(f"{word}: {', '.join(names)}" for word, names in said.items()))
    pays = [m for m, one in found.items() if all(one.word(b) == "better" and b not in one.short for b in BUDGETS[1:])]
    answer = f"the extra cost pays for {', '.join(map(_named, pays))}" if pays else "no method is shown to pay its cost"
    tasks = ", mean of tasks" if len(next(iter(by_word(run.metrics).values()))) > 1 else ""
    n = next(iter(found.values())).compared[BUDGETS[0]].difference.n
    tail = f"{how.step or how.name}{tasks}, n = {n}, Holm over {len(found)} methods on each budget"
    return f"{answer}. {'. '.join(map(capital, parts))} ({tail})."


def _named(method: str) -> str:
    return f"({label(method)})" if "," in label(method) else label(method)


def _say(entry: Comparison, how: Measure) -> str:
    found = entry.difference
    text = f"{how.factor * found.mean:+.{how.digits}f}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{how.factor * found.low:+.{how.digits}f}, {how.factor * found.high:+.{how.digits}f}]"
