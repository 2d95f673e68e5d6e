"""The one place where the site meets the evidence: claims with their effects, and what the answer counts.

Verdicts, printed effects and their numbers are taken as `evaluate` left them; here they are placed and counted.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from gradsurgery.evidence.budgets import BUDGETS
from gradsurgery.evidence.contrasts import ALONE, Contrast
from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.statistics import Summary
from gradsurgery.ledger.judging import Finding, is_cell, published_value
from gradsurgery.ledger.records import Answer
from gradsurgery.ledger.words import WORDS
from gradsurgery.report.interval import Interval, interval
from gradsurgery.report.sources import Sources

TRACK = "controlled"
_HOLDS = {
    "reproduced": "holds",
    "direction only": "holds",
    "no difference detected": "same",
    "not reproduced": "against",
}


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of a paper beside our evidence.

    Attributes:
        anchor: its place on the paper's page.
        short: the claim in a few words, for a cell.
        word: the verdict without its reason, one of `ledger.words.WORDS`.
        effect: ours as printed, with its interval, without the number of repeats.
        drawn: the interval with the published value marked; None where there is no number of ours.
        source: the history that it was computed from, under `reports/`.
    """

    anchor: str
    short: str
    statement: str
    cell: str
    metric: str
    published: str
    effect: str
    n: int | None
    where: str
    verdict: str
    word: str
    why: str
    drawn: Interval | None
    source: str
    landscape: bool


def claims(findings: Iterable[Finding], sources: Sources) -> list[Claim]:
    """The claims and controls that an experiment answers, in the ledger's order; cells of tables are none."""
    return [
        _claim(f, f.record.answered_by, sources) for f in findings if f.record.answered_by and not is_cell(f.record)
    ]


def _claim(finding: Finding, answer: Answer, sources: Sources) -> Claim:
    record, runs = finding.record, sources.groups.get(answer.experiment)
    summary = _summary(finding)
    return Claim(
        anchor=record.id.split("/")[-1],
        short=record.short or record.statement,
        statement=record.statement,
        cell=record.cell,
        metric=record.metric,
        published=published_value(record),
        effect=finding.ours.removesuffix(f" (n = {summary.n})") if summary else finding.ours,
        n=summary.n if summary else None,
        where=finding.where,
        verdict=finding.verdict,
        word=next((word for word in WORDS if finding.verdict.startswith(word)), finding.verdict),
        why=finding.why,
        drawn=_drawn(finding, answer, sources),
        source=f"history/{answer.experiment}.jsonl" if runs else "",
        landscape=runs is not None and runs[0].trajectory is not None,
    )


def _summary(finding: Finding) -> Summary | None:
    """What the published value stands beside: a level where the record is one, else a difference; None for a count."""
    return finding.level or (finding.contrast.difference if finding.contrast else None)


def _drawn(finding: Finding, answer: Answer, sources: Sources) -> Interval | None:
    published = finding.record.value
    if summary := _summary(finding):
        scaled = summary.moved(measure(answer.metric).factor)
        return interval(scaled.mean, scaled.low, scaled.high, published, zero=finding.level is None)
    if finding.ours == "-":
        return None
    end = sources.metrics[answer.experiment]["landscape"]
    return interval(float(end[answer.metric]), None, None, published, ends=(0.0, float(end["starts"])))


def words(found: Sequence[Claim]) -> list[tuple[str, int]]:
    """How many claims have which verdict."""
    counts = Counter(claim.word for claim in found)
    return [(word, counts[word]) for word in WORDS if counts[word]]


@dataclasses.dataclass(frozen=True)
class Tally:
    """How many of some claims hold, show no difference, point the other way, or were not tested."""

    holds: int = 0
    same: int = 0
    against: int = 0
    open: int = 0

    @property
    def tested(self) -> int:
        return self.holds + self.same + self.against


def tally(found: Iterable[Claim]) -> Tally:
    return Tally(**Counter(_HOLDS.get(claim.word, "open") for claim in found))


@dataclasses.dataclass(frozen=True)
class Beside:
    """How often lines are better than the sum, worse, or not told from it, and on how many problems."""

    better: int = 0
    worse: int = 0
    same: int = 0
    problems: int = 0

    @property
    def compared(self) -> int:
        return self.better + self.worse + self.same


def beside_sum(sources: Sources) -> Beside:
    """The methods under study against the sum on the terms of the controlled table, Holm within a problem.

    Dialled problems are left out: they are many of one kind, and conflict is made there.
    """
    places = [problem for problem in sources.data if problem not in sources.measured.doses]
    found = [c for problem in places for c in sources.contrasts.of("sum", problem) if c.metric.startswith("all.")]
    kept = {
        (r["problem"], r["method"])
        for r in sources.metrics.values()
        if r["track"] == TRACK and not r.get("excluded")
    }  # fmt: skip
    return _counted([c for c in found if (c.problem, c.method) in kept], sources)


def at_equal_passes(sources: Sources) -> Beside:
    """The methods under study against a sum that takes as many backward passes, where a problem has such a sum."""
    found = [c for problem in sources.data for c in sources.contrasts.of(f"equal {BUDGETS[-1]}", problem)]
    return _counted(found, sources)


def _counted(found: Iterable[Contrast], sources: Sources) -> Beside:
    studied = {(g[0].problem, g[0].method) for g in sources.groups.values() if g[0].role.kind == "study"}
    own = [c for c in found if (c.problem, c.method) in studied and c.verdict != ALONE]
    return Beside(**Counter(c.verdict for c in own), problems=len({c.problem for c in own}))


def by_paper(findings: Mapping[str, Sequence[Finding]], sources: Sources) -> dict[str, list[Claim]]:
    """The claims of the matrix, by paper."""
    rows = {key: claims([f for f in group if f.record.headline], sources) for key, group in findings.items()}
    return {key: row for key, row in rows.items() if row}
