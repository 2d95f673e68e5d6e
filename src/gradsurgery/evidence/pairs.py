"""The comparisons that a paper's own claim asks for: declared with the paper, before the numbers."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from gradsurgery.evidence.contrasts import Contrast, Pair, held
from gradsurgery.evidence.lines import Line

EACH = "each"  # stands for every line that answers for all tasks, and for every metric by itself


@dataclasses.dataclass(frozen=True)
class Planned:
    """One family of comparisons.

    Attributes:
        family: its name.
        problems: where it is made.
        lines: method and what it is held against; `each` stands for every other line.
        metrics: names; `each` stands for every metric, `all` for the mean over tasks of the first kind.
        corrected: whether Holm's correction is over the lines (models without a network by themselves).
        resolution: differences that are no larger are none, whatever their interval, in the metric's own unit.
    """

    family: str
    problems: Sequence[str]
    lines: Sequence[Sequence[str]]
    metrics: Sequence[str]
    corrected: bool = False
    resolution: float | None = None

    def __post_init__(self) -> None:
        if any(len(pair) != 2 for pair in self.lines):
            raise ValueError(f"`lines` of {self.family} must be pairs, found {self.lines!r:.80}.")


def contrasts(plans: Sequence[Planned], problem: str, lines: Mapping[str, Line]) -> list[Contrast]:
    """Of every plan that names the problem, those whose lines were run."""
    found = list[Contrast]()
    for plan in plans:
        if problem in plan.problems:
            for metric in _metrics(plan, next(iter(lines.values()))):
                found += _family(plan, problem, metric, lines)
    return found


def _metrics(plan: Planned, line: Line) -> Iterator[str]:
    for name in plan.metrics:
        yield from line.run.metrics if name == EACH else [line.main if name == "all" else name]


def _family(plan: Planned, problem: str, metric: str, lines: Mapping[str, Line]) -> list[Contrast]:
    pairs = {
        (mine, theirs): _pair(plan, lines[mine], lines[theirs], metric)
        for ends in plan.lines
        for mine, theirs in _named(ends, lines)
        if lines[mine].answers(metric) and lines[theirs].answers(metric)
    }
    if not pairs:
        return []
    higher = lines[next(iter(pairs))[0]].higher(metric)
    found = list[Contrast]()
    for floor in (False, True):
        own = [pair for key, pair in pairs.items() if (lines[key[0]].run.role.kind == "floor") == floor]
        found += held(plan.family, problem, metric, higher, own, plan.corrected)
    return found


def _named(ends: Sequence[str], lines: Mapping[str, Line]) -> Iterator[tuple[str, str]]:
    for mine in lines if ends[0] == EACH else ends[:1]:
        for theirs in lines if ends[1] == EACH else ends[1:]:
            if mine != theirs and mine in lines and theirs in lines:
                yield mine, theirs


def _pair(plan: Planned, mine: Line, theirs: Line, metric: str) -> Pair:
    pair = Pair.of(mine, theirs, metric)
    return pair if plan.resolution is None else dataclasses.replace(pair, noise=plan.resolution)
