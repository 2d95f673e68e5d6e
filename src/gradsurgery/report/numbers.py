"""The one place where the site meets the evidence: claims with their effects, and what the answer counts.

Verdicts and printed effects are taken as the ledger gives them.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from gradsurgery.evidence.budgets import BUDGETS
from gradsurgery.evidence.contrasts import ALONE, Contrast
from gradsurgery.evidence.groups import Groups
from gradsurgery.ledger.judging import Finding, is_cell, published_value
from gradsurgery.ledger.words import WORDS
from gradsurgery.report.interval import Interval, interval
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import family

TRACK = "controlled"
_HOLDS = {
    "reproduced": "holds",
    "direction only": "holds",
    "no difference detected": "same",
    "not reproduced": "against",
}
_COUNT = re.compile(r"(\d+) of (\d+)")
_EFFECT = re.compile(r"([-+]?[\d.]+)(?: \[([-+]?[\d.]+), ([-+]?[\d.]+)\])?(?: \(n = (\d+)\))?")


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of a paper beside our evidence.

    Attributes:
        anchor: its place on the paper's page.
        short: the claim in a few words, for a cell.
        word: the verdict without its reason, one of `findings.WORDS`.
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
    n: str
    where: str
    verdict: str
    word: str
    why: str
    drawn: Interval | None
    source: str
    doubtful: bool
    landscape: bool


def claims(findings: Iterable[Finding], groups: Groups) -> list[Claim]:
    """The claims and controls that an experiment answers, in the ledger's order; cells of tables are none."""
    return [_claim(f, groups) for f in findings if f.record.answered_by and not is_cell(f.record)]


def _claim(finding: Finding, groups: Groups) -> Claim:
    record, answer = finding.record, finding.record.answered_by
    experiment = answer.experiment if answer and answer.experiment in groups else ""
    found = _EFFECT.match(finding.ours)
    return Claim(
        anchor=record.id.split("/")[-1],
        short=record.short or record.statement,
        statement=record.statement,
        cell=record.cell,
        metric=record.metric,
        published=published_value(record),
        effect=re.sub(r" \(n = \d+\)", "", finding.ours),
        n=(found and found[4]) or "",
        where=finding.where,
        verdict=finding.verdict,
        word=next((word for word in WORDS if finding.verdict.startswith(word)), finding.verdict),
        why=finding.why,
        drawn=_drawn(finding),
        source=f"history/{experiment}.jsonl" if experiment else "",
        doubtful=record.doubtful is not None,
        landscape=bool(experiment) and groups[experiment][0].trajectory is not None,
    )  # fmt: skip


def _drawn(finding: Finding) -> Interval | None:
    """The numbers of the printed effect: what is drawn is what is said. A count lies between none and all starts."""
    published = finding.record.value
    if count := _COUNT.fullmatch(finding.ours):
        return interval(float(count[1]), None, None, published, ends=(0.0, float(count[2])))
    if not (effect := _EFFECT.match(finding.ours)):
        return None
    mean, low, high = (None if text is None else float(text) for text in effect.groups()[:3])
    assert mean is not None
    bound = finding.record.kind in ("at_least", "at_most", "count", "level")
    return interval(mean, low, high, published, zero=not bound)


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


def beside_sum(sources: Sources, papers: Sequence[str]) -> Beside:
    """The papers' methods against the sum on the terms of the controlled table, Holm within a problem."""
    found = [c for problem in sources.data for c in sources.contrasts.of("sum", problem) if c.metric.startswith("all.")]
    terms = {(r["problem"], r["method"]): r["track"] == TRACK and not r.get("excluded")
             for r in sources.metrics.values()}  # fmt: skip
    return _counted([c for c in found if terms.get((c.problem, c.method))], papers)


def at_equal_passes(sources: Sources, papers: Sequence[str]) -> Beside:
    """The papers' methods against a sum that takes as many backward passes, on the problems that have such a sum."""
    found = [c for problem in sources.data for c in sources.contrasts.of(f"equal {BUDGETS[-1]}", problem)]
    return _counted(found, papers)


def _counted(found: Iterable[Contrast], papers: Sequence[str]) -> Beside:
    own = [c for c in found if family(c.method) in papers and c.verdict != ALONE]
    return Beside(**Counter(c.verdict for c in own), problems=len({c.problem for c in own}))


def by_paper(findings: Mapping[str, Sequence[Finding]], groups: Groups) -> dict[str, list[Claim]]:
    """The claims of the matrix, by paper."""
    rows = {key: claims([f for f in group if f.record.headline], groups) for key, group in findings.items()}
    return {key: row for key, row in rows.items() if row}
