"""The one place where the site meets the evidence: claims with their effects, and what the answer counts.

Verdicts, printed effects and their numbers are taken as `evaluate` left them; here they are placed and counted.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.statistics import Summary
from gradsurgery.ledger.findings import Finding, is_cell, published_value
from gradsurgery.ledger.records import Answer
from gradsurgery.ledger.words import DECIDED, counted, first_word
from gradsurgery.report.interval import Interval, interval
from gradsurgery.report.sources import Sources
from gradsurgery.report.tables import source

TRACK = "controlled"


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of a paper beside our evidence.

    Attributes:
        anchor: its place on the paper's page.
        short: the claim in a few words, for a cell.
        word: the verdict without its reason, one of `ledger.words.WORDS`.
        effect: ours as printed, with its interval, without the number of repeats.
        confirmatory: registered before its runs; exploratory otherwise.
        control: ours, and no claim of the paper.
        headline: shown in the matrix.
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
    beside: str
    verdict: str
    word: str
    why: str
    confirmatory: bool
    control: bool
    headline: bool
    drawn: Interval | None
    source: str
    landscape: bool

    @property
    def standing(self) -> str:
        if self.landscape:
            return "counted"
        return "confirmatory" if self.confirmatory else "exploratory"


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
        beside=finding.beside,
        verdict=finding.verdict,
        word=first_word(finding.verdict),
        why=finding.why,
        confirmatory=finding.confirmatory,
        control=record.origin == "control",
        headline=record.headline,
        drawn=_drawn(finding, answer, sources),
        source=source(answer.experiment).at(finding.scale).target if finding.scale or runs else "",
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
    end = {} if finding.ours == "-" else sources.metrics[answer.experiment]["landscape"]
    if answer.metric not in end:
        return None
    return interval(float(end[answer.metric]), None, None, published, ends=(0.0, float(end["starts"])))


def words(found: Sequence[Claim]) -> list[tuple[str, int]]:
    """How many claims have which verdict."""
    return counted(claim.verdict for claim in found)


def quotable(found: Sequence[Claim]) -> list[str]:
    """At most three sentences on a paper: what the matrix shows before what it does not, and there registered claims
    first and controls of ours last."""
    decided = sorted(
        (c for c in found if c.word in DECIDED), key=lambda c: (not c.headline, not c.confirmatory, c.control)
    )
    return [
        f"{c.statement} ({c.cell}): {c.word}, {c.metric} {c.effect}{f' (n = {c.n})' if c.n else ''}, published "
        f"{c.published}; {c.where}, {c.standing}{c.beside}."
        for c in decided[:3]
    ]


def by_paper(findings: Mapping[str, Sequence[Finding]], sources: Sources) -> dict[str, list[Claim]]:
    """The claims of the matrix, by paper."""
    rows = {key: claims([f for f in group if f.record.headline], sources) for key, group in findings.items()}
    return {key: row for key, row in rows.items() if row}
