"""Looks for gradients that break a property, and shrinks what it finds to the smallest that do."""

import math
import random
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from hypothesis import HealthCheck, Phase, assume, find, settings
from hypothesis.errors import Flaky, NoSuchExample, Unsatisfiable
from torch import Tensor

from gradsurgery.certify.matrices import NoTasks, pasted
from gradsurgery.certify.precision import PRECISION
from gradsurgery.certify.properties import PROPERTIES, Absent, Missed, Property
from gradsurgery.certify.published import PUBLISHED
from gradsurgery.certify.remembering import REMEMBERING
from gradsurgery.certify.subject import Subject, told_by
from gradsurgery.core.discovery import did_you_mean
from gradsurgery.foreign import Fault

ALL = (*PROPERTIES, *PRECISION, *REMEMBERING, *PUBLISHED)
Verdict = Literal["holds", "fails", "no answer", "does not apply"]


@dataclass(frozen=True)
class Finding:
    """What the search said of one property.

    Attributes:
        name: of the property.
        says: what it promises.
        claimed: whether the method is declared to have it.
        verdict: over the gradients that were tried.
        tolerance: largest violation that was taken for rounding; that of the claim, where it has its own.
        worst: largest violation seen; infinite where the method raised or left the numbers, None where none was tried.
        tried: how many J.
        counterexample: the smallest J that broke it, as Python; without an answer, the J that it was at.
        note: what the method raised there, why there is no answer, or why the property does not apply.
    """

    name: str
    says: str
    claimed: bool
    verdict: Verdict
    tolerance: float
    worst: float | None
    tried: int
    counterexample: str | None = None
    note: str = ""


class _Search:
    """One property of one method; remembers the largest violation and the smallest J that broke it."""

    def __init__(self, subject: Subject, wanted: Property, at: Callable[[Finding, Tensor], None]) -> None:
        self.subject, self.wanted, self.at = subject, wanted, at
        own = subject.claims.get(wanted.name)
        default = wanted.tolerance if subject.dtype == torch.float64 else wanted.single
        self.tolerance = default if own is None else own
        self.worst, self.tried, self.note = 0.0, 0, ""
        self.broken: tuple[tuple[int, float], Tensor, str] | None = None

    def __call__(self, J: Tensor) -> bool:
        """Whether J breaks the property."""
        J, said = J.to(self.subject.dtype), ""
        self.at(self.finding(), J)
        try:
            violation = self.wanted.check(self.subject, J.clone())
        except Absent as reason:
            self.note = str(reason)
            assume(False)
        except Fault as fault:
            violation, said = math.inf, told_by(fault)
        except Missed as missed:
            violation, said = math.inf, str(missed)
        self.tried += 1
        violation = math.inf if math.isnan(violation) else violation
        self.worst = max(self.worst, violation)
        breaks = not violation <= self.tolerance  # a tolerance that is no number allows nothing
        place = (J.numel(), float(J.double().abs().sum()))
        if breaks and (self.broken is None or place < self.broken[0]):
            self.broken = (place, J, said)
        return breaks

    def finding(self) -> Finding:
        """What has been found so far."""
        verdict: Verdict = "fails" if self.broken else "holds" if self.tried else "does not apply"
        counterexample, note = None, self.note if not self.tried else ""
        if self.broken:
            _, J, note = self.broken
            counterexample = pasted(J)
        return Finding(
            self.wanted.name, self.wanted.says, self.wanted.name in self.subject.claims, verdict, self.tolerance,
            self.worst if self.tried else None, self.tried, counterexample, note,
        )  # fmt: skip


def examine(
    subject: Subject, wanted: Property, examples: int = 60, seed: int = 0,
    at: Callable[[Finding, Tensor], None] = lambda so_far, J: None, shrink: bool = True,
) -> Finding:  # fmt: skip
    """Tries `examples` J against one property. The same call finds the same, whatever ran before.

    `at` is called before each J with what was found so far. Without `shrink` the first counter-example is kept as it
    is: the verdict is the same, and shrinking is most of the time of one that fails.
    """
    search = _Search(subject, wanted, at)
    try:
        _search(search, wanted.matrices(subject.tasks), math.ceil(wanted.share * examples), seed, shrink)
    except NoTasks:
        search.note = f"takes {subject.tasks[0]} to {subject.tasks[1]} tasks"
    return search.finding()


def certify(
    subject: Subject, names: Iterable[str] = (), examples: int = 60, seed: int = 0,
    told: Callable[[Finding], None] = lambda finding: None,
) -> list[Finding]:  # fmt: skip
    """Every property of a method, or those named, in the order of `ALL`.

    Args:
        subject: the method, with what it claims.
        names: of properties; none for all.
        examples: J that are tried for each.
        seed: of the search.
        told: called with each finding as it comes.

    Raises:
        ValueError: a claim, or a name, that is no property.
    """
    found: list[Finding] = []
    for wanted in chosen(subject, names):
        found.append(examine(subject, wanted, examples, seed))
        told(found[-1])
    return found


def chosen(subject: Subject, names: Iterable[str] = ()) -> list[Property]:
    """The properties named, or all of them, in the order of `ALL`. Raises ValueError as `certify` does."""
    known = [each.name for each in ALL]
    names = list(names)
    for name in (*subject.claims, *names):
        if name not in known:
            raise ValueError(
                f"`{name}` must be a property, one of {', '.join(known)}, found none of that name"
                f"{did_you_mean(name, known)}"
            )
    return [each for each in ALL if not names or each.name in names]


def broken_claims(findings: Sequence[Finding]) -> list[str]:
    """Names of the claims that a counter-example was found for."""
    return [each.name for each in findings if each.claimed and each.verdict == "fails"]


def unanswered_claims(findings: Sequence[Finding]) -> list[str]:
    """Names of the claims that had no answer in time."""
    return [each.name for each in findings if each.claimed and each.verdict == "no answer"]


def _search(search: _Search, strategy: object, examples: int, seed: int, shrink: bool) -> None:
    phases = [phase for phase in Phase if shrink or phase not in (Phase.shrink, Phase.explain)]
    options = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=False,
        phases=phases,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # solvers warn at singular Gram matrices; what matters is what they return
        try:
            find(strategy, search, settings=options, random=random.Random(seed))  # type: ignore[arg-type]
        except (NoSuchExample, Unsatisfiable, Flaky):
            return  # held; nothing to try; or the method answers differently each time, which `broken` has kept
