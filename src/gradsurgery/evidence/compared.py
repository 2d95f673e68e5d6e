"""One method against others on one problem: the contrasts of `gradsurgery compare`, and its levels."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from gradsurgery.evidence import diverged, pairs
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.groups import Groups
from gradsurgery.evidence.lines import Line, lines_of
from gradsurgery.evidence.measures import by_word
from gradsurgery.evidence.pairs import EACH, Planned
from gradsurgery.evidence.statistics import Summary, summarise

FAMILY = "compare"


@dataclasses.dataclass(frozen=True)
class Compared:
    """What is found of `mine` and `others`, by method.

    Attributes:
        levels: of every line that did not diverge, every metric, means over tasks first where there are several.
        contrasts: mine minus each other, on every such metric; exploratory and uncorrected, as every `Contrast` is.
        gone: what is said of lines that diverged, which have neither.
    """

    problem: str
    mine: str
    others: Sequence[str]
    metrics: Mapping[str, bool]
    levels: Mapping[str, Mapping[str, Summary]]
    contrasts: Sequence[Contrast]
    gone: Mapping[str, str]

    @property
    def main(self) -> list[str]:
        """The metrics that are looked at first: means over tasks, or all where no two tasks share a metric."""
        return [name for name in self.metrics if name.startswith("all.")] or [*self.metrics]

    def against(self, other: str, metric: str) -> Contrast | None:
        """Mine minus another; None where one of them diverged, or they share no seed."""
        return next((c for c in self.contrasts if (c.minus, c.metric) == (other, metric)), None)


def compare(
    groups: Groups, mine: str, others: Sequence[str], rule: str, margin: Callable[[str], float | None]
) -> Compared:
    """What one line is beside others.

    Args:
        groups: the runs of all of them, by experiment, on one problem.
        mine, others: methods.
        rule: of the epoch.
        margin: of practical equality of a metric, in its own unit.

    Raises:
        ValueError: two lines had different budgets.
    """
    whole, gone = diverged.split(groups)
    run = next(iter(groups.values()))[0]
    several = [f"all.{word}" for word, names in by_word(run.metrics).items() if len(names) > 1]
    metrics = {name: run.metrics[by_word(run.metrics)[name[4:]][0]] for name in several} | dict(run.metrics)
    lines = lines_of(whole, rule)
    plan = Planned(FAMILY, [run.problem], [(mine, other) for other in others], [*several, EACH])
    found = pairs.contrasts([plan], run.problem, lines) if lines else []
    return Compared(
        run.problem, mine, list(others), metrics,
        {method: {m: level(line, m) for m in metrics if line.answers(m)} for method, line in lines.items()},
        [dataclasses.replace(contrast, margin=margin(contrast.metric)) for contrast in found],
        {group[0].method: diverged.told(group) for group in gone.values()},
    )  # fmt: skip


def level(line: Line, metric: str) -> Summary:
    """One line by itself, over its seeds, as `scores` has it: the examples that all lines share are left out."""
    return summarise([*line.values(metric).values()])
