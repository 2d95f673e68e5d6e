"""The comparisons that a paper's own claim asks for: declared with the paper, before the numbers."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from gradsurgery.evidence import layer_conflict
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.roles import COPIES

EACH = "each"  # stands for every line that answers for all tasks, and for every metric by itself
CONFLICT = "conflict"  # stands for the shares of steps in conflict, of the whole vector and of the layers in common


@dataclasses.dataclass(frozen=True)
class Planned:
    """One family of comparisons.

    Attributes:
        family: its name.
        problems: where it is made.
        lines: method and what it is held against; `each` stands for every other line on the same budget
            that is no copy of another.
        metrics: names; `each` stands for every metric, `all` for the mean over tasks of the first kind,
            `conflict` for the shares of conflicting steps.
    """

    family: str
    problems: Sequence[str]
    lines: Sequence[Sequence[str]]
    metrics: Sequence[str]

    def __post_init__(self) -> None:
        if any(len(pair) != 2 for pair in self.lines):
            raise ValueError(f"`lines` of {self.family} must be pairs, found {self.lines!r:.80}.")


def contrasts(plans: Sequence[Planned], problem: str, lines: Mapping[str, Line]) -> list[Contrast]:
    """Of every plan that names the problem, those whose lines were run. Raises ValueError for two lines that are named
    and had different budgets."""
    found = list[Contrast]()
    for plan in plans:
        if problem in plan.problems:
            pairs = dict.fromkeys(pair for ends in plan.lines for pair in _named(ends, lines))
            for metric in _metrics(plan, next(iter(lines.values()))):
                if metric == CONFLICT:
                    S = layer_conflict.threshold([line.runs for line in lines.values()])
                    found += [c for a, b in pairs for c in layer_conflict.contrasts(plan.family, lines[a], lines[b], S)]
                    continue
                answer = [(a, b) for a, b in pairs if lines[a].answers(metric) and lines[b].answers(metric)]
                made = [Contrast.of(plan.family, lines[a], lines[b], metric) for a, b in answer]
                found += [contrast for contrast in made if contrast]
    return found


def _metrics(plan: Planned, line: Line) -> Iterator[str]:
    for name in plan.metrics:
        yield from line.run.metrics if name == EACH else [line.main if name == "all" else name]


def _named(ends: Sequence[str], lines: Mapping[str, Line]) -> Iterator[tuple[str, str]]:
    for mine in lines if ends[0] == EACH else ends[:1]:
        for theirs in lines if ends[1] == EACH else ends[1:]:
            there = mine != theirs and mine in lines and theirs in lines
            copy = EACH in ends and any(lines[m].run.role.kind in COPIES for m in (mine, theirs) if m in lines)
            if there and not copy and (EACH not in ends or lines[mine].on_budget_of(lines[theirs])):
                yield mine, theirs
