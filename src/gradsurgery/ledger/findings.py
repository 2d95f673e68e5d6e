"""A record beside our evidence, and how its word follows from the numbers in words."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.costs import seconds_per_seed
from gradsurgery.evidence.measures import is_derived, measure
from gradsurgery.evidence.power import decides
from gradsurgery.evidence.statistics import Summary
from gradsurgery.evidence.words import ALONE, EQUAL, INCONCLUSIVE, SMALLER
from gradsurgery.ledger.protocol import Protocol
from gradsurgery.ledger.records import Record

Costs = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Length:
    """What a difference came to after so many optimiser steps of one scale, in the metric's own unit."""

    scale: str
    steps: int
    difference: Summary


@dataclasses.dataclass(frozen=True)
class Finding:
    """A record beside our evidence; `why` says in words how the verdict follows from it.

    Attributes:
        ours: our number in words, with its interval.
        where: scale and track, and whether the data are a twin.
        level: of the experiment, where the record asks for one, in the metric's own unit.
        contrast: of two lines, where the record asks for a difference.
        effect: that is published, in the same unit, turned so that more is what is claimed; None: no size is.
        confirmatory: whether the claim was registered at this scale before these runs; exploratory otherwise.
        beside: what the other scales say, and seeds that are still to come, behind `where`.
        scale: that of the runs, where several were looked at; empty where nothing was run.
        lengths: the contrast at every scale that was run, the shortest first, where there are several.
        notes: what a reader of the contrast needs besides, in words.
    """

    record: Record
    ours: str
    where: str
    verdict: str
    why: str = ""
    level: Summary | None = None
    contrast: Contrast | None = None
    effect: float | None = None
    confirmatory: bool = False
    beside: str = ""
    scale: str = ""
    lengths: Sequence[Length] = ()
    notes: Sequence[str] = ()

    @property
    def place(self) -> str:
        """Scale, track and standing, and what other scales say."""
        return f"{self.where}{', confirmatory' if self.confirmatory else ''}{self.beside}"

    @property
    def gain(self) -> Summary:
        """The contrast's difference turned so that more is what is claimed."""
        assert self.contrast is not None
        denied = self.record.kind == "no_difference"
        return self.contrast.gain.turned() if denied else self.contrast.gain


def why(finding: Finding, verdict: str, protocol: Protocol, costs: Costs) -> str:
    """How the word follows from the numbers, what else the reader needs, and what would decide."""
    contrast, gain = finding.contrast, finding.gain
    assert contrast is not None
    if verdict == ALONE or contrast.difference.sd is None:
        return ""
    how, margin = measure(contrast.metric), contrast.margin
    parts = [f"{contrast.pairing}, {contrast.budget}", *finding.notes]
    if contrast.noise is None and not is_derived(contrast.metric):
        parts.append("the test examples are not in the interval")
    if verdict == SMALLER and gain.high is not None:
        below = "zero is out on the other side, but the effect lies within the margin"
        most = f"at most {how.plain(gain.high)} of the published {how.plain(finding.effect)}"
        parts.append(below if gain.high < 0 else most)
    if verdict == EQUAL:
        parts.append(f"its 90 % interval lies within {how.plain(margin)}")
    if contrast.detectable is not None:
        parts.append(f"it would find {how.plain(contrast.detectable)} four times of five")
    if verdict == INCONCLUSIVE:
        parts.append(_cost(finding, protocol, costs))
    return "; ".join(parts)


def _cost(finding: Finding, protocol: Protocol, costs: Costs) -> str:
    """The seeds, and their seconds, that would decide."""
    contrast, answer = finding.contrast, finding.record.answered_by
    assert contrast is not None
    assert answer is not None
    equal = finding.record.kind == "no_difference"
    effect = finding.effect or contrast.margin
    if effect is None:
        return "no size is published and the metric has no margin, so that nothing says how many seeds would decide"
    alpha, power = (2 * protocol.alpha, (1 + protocol.power) / 2) if equal else (protocol.alpha, protocol.power)
    n = decides(effect, contrast.spread, contrast.noise or 0.0, alpha, power)
    if n is None:
        return "no number of seeds decides: the test set is too small for the effect"
    if n <= contrast.difference.n:
        return f"its {contrast.difference.n} seeds had {100 * power:.0f} % power for the effect"
    names = (answer.experiment, str(answer.minus))
    each = [seconds_per_seed(costs[name]) for name in names if name in costs]
    more = (n - contrast.difference.n) * sum(each)
    return f"{n} seeds would decide" + (f", {more:,.0f} more seconds" if each else "")


def told(summary: Summary, metric: str, signed: bool = True) -> str:
    """`+0.21 [+0.08, +0.34] (n = 3)`."""
    return f"{measure(metric).say(summary, signed)} (n = {summary.n})"


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
    if record.origin != "paper":
        return (
            f"{value} ({'of the claim that it controls' if record.origin == 'control' else 'not printed; recomputed'})"
        )
    return f"{value} (doubtful)" if record.doubtful else value
