"""The section on cost: what surgery methods have over the sum once the sum gets what they take."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from gradsurgery.evidence.budgets import BUDGETS, Budget
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.groups import of, problems
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import by_word as words
from gradsurgery.evidence.measures import capital, measure
from gradsurgery.evidence.words import BETTER
from gradsurgery.report.format import bracketed, by_word, first_sentence, gain
from gradsurgery.report.section import Section, Sheet
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import label
from gradsurgery.report.tables import source
from gradsurgery.report.titles import title

CLAIM = (
    "A surgery method takes one backward pass per task in every step. Papers compare at equal epochs; the same passes "
    "or seconds, given to the plain sum as further epochs, are the comparison that its cost asks for."
)


Compared = Mapping[str, Mapping[str, Contrast]]  # by budget and method


def section(sources: Sources) -> Section | None:
    """Every problem with a long run of the sum; None where no problem has one."""
    sheets, ran, found = list[Sheet](), list[str](), list[str]()
    for problem in problems(sources.groups):
        runs = of(sources.groups, problem)
        rule = next(r["selection"] for r in sources.metrics.values() if r["problem"] == problem)
        long = sources.measured.long_runs.get(problem)
        if long is None:
            continue
        if not long.alike:
            found.append(
                f"{title(problem)}: the long run does not begin as the sum, so that no budget is read from it."
            )
            continue
        if methods := sources.measured.budgets.get(problem):
            run = runs["sum"][0]
            compared = {b: {c.method: c for c in sources.contrasts.of(f"equal {b}", problem)} for b in BUDGETS}
            heading = f"{title(problem)}: surgery methods minus the sum on three budgets"
            sheets.append(Sheet(f"compute-{problem}", heading, table(methods, compared, run)))
            found.append(f"{title(problem)}: {sentence(methods, compared, run)}")
            ran.append(
                f"{title(problem)} (scale {run.scale}, {len(run.epochs)} epochs, n = {long.seeds}, the sum up to "
                f"{long.epochs} epochs, selection {rule})"
            )
    if not found:
        return None
    said = (
        f"Controlled lines that take more than one backward pass a step: {'; '.join(ran) or 'none'}. Differences are "
        "of means over tasks, paired by seed, with 95 % intervals; more is better. Seconds are those of a median step, "
        "rounded to whole epochs of the sum and never fewer than the problem has. The sum chooses among the epochs of "
        "its budget only, by the same rule as the method."
    )
    return Section(CLAIM, said, " ".join(found), (), sheets, " ".join(map(first_sentence, found)))


def table(found: Mapping[str, Budget], compared: Compared, run: Run) -> pd.DataFrame:
    """One row per method: what it costs, and what it has over the sum on each budget."""
    how = measure(next(iter(run.metrics)))
    rows = []
    for method, one in found.items():
        row: dict[str, Any] = {
            "method": source(f"{run.problem}-{method}", label(method)),
            "backward passes, times the sum's": f"{one.passes:g}",
            "seconds a step, times the sum's": f"{one.seconds:.2f}",
        }  # fmt: skip
        for budget in BUDGETS:
            entry, most = compared[budget][method], "only " if budget in one.short else ""
            row[f"minus sum, equal {budget}{how.of_step}"] = gain(entry)
            row[f"verdict, equal {budget}"] = entry.verdict
            row[f"epochs of the sum, equal {budget}"] = f"{most}{one.epochs[budget]}"
        rows.append({**row, "n": compared[BUDGETS[0]][method].difference.n})
    return pd.DataFrame(rows)


def sentence(found: Mapping[str, Budget], compared: Compared, run: Run) -> str:
    """Whether the extra cost pays: on each budget, which methods are better or worse than the sum."""
    how = measure(next(iter(run.metrics)))
    parts = []
    for budget in BUDGETS:
        parts.append(f"at equal {budget}, {by_word(compared[budget].values(), lambda c: bracketed(c.method))}")
    pays = [
        m for m, one in found.items()
        if all(compared[b][m].verdict == BETTER and b not in one.short for b in BUDGETS[1:])
    ]  # fmt: skip
    answer = (
        f"the extra cost pays for {', '.join(map(bracketed, pays))}" if pays else "no method is shown to pay its cost"
    )
    tasks = ", mean of tasks" if len(next(iter(words(run.metrics).values()))) > 1 else ""
    n = next(iter(compared[BUDGETS[0]].values())).difference.n
    tail = f"{how.step or how.name}{tasks}, n = {n}, exploratory"
    return f"{answer}. {'. '.join(map(capital, parts))} ({tail})."
