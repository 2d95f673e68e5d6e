"""One method on one problem: its runs, its numbers by seed, and two such lines. Only here are seeds paired.

Seed s of two lines shares split, initialisation, data order and augmentation, so that differences are taken per seed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import by_word
from gradsurgery.evidence.noise import mean_noise, metric_noise
from gradsurgery.evidence.selection import RULES, score, select

Values = Mapping[int, float]  # by seed


@dataclasses.dataclass(frozen=True)
class Line:
    """The runs of one experiment under its problem's selection rule."""

    runs: Sequence[Run]
    rule: str

    @property
    def run(self) -> Run:
        """The first seed, for what all seeds have in common."""
        return self.runs[0]

    @property
    def method(self) -> str:
        return self.run.method

    @cached_property
    def chosen(self) -> dict[int, dict[str, float]]:
        """Test metrics at the epoch that the rule picks, by seed."""
        return {run.seed: select(run, self.rule) for run in self.runs}

    @property
    def whole(self) -> bool:
        """Whether the line answers for every task of its problem."""
        return set(self.run.own_metrics) == set(self.run.metrics)

    @property
    def main(self) -> str:
        """The problem's first kind of metric, mean of tasks: `all.accuracy`."""
        return f"all.{next(iter(by_word(self.run.metrics)))}"

    def names(self, metric: str) -> list[str]:
        """`all.accuracy` stands for the accuracies of all tasks, unless there is a task called so."""
        if metric in self.run.own_metrics or not metric.startswith("all."):
            return [metric]
        return by_word(self.run.own_metrics).get(metric.removeprefix("all."), [])

    def answers(self, metric: str) -> bool:
        """Whether the line has the metric, or all that it is the mean of."""
        everything = [metric] if metric in self.run.metrics else by_word(self.run.metrics).get(metric[4:], [])
        return bool(everything) and set(everything) <= set(self.run.own_metrics)

    def higher(self, metric: str) -> bool:
        """Whether more is better."""
        return self.run.metrics[self.names(metric)[0]]

    def values(self, metric: str) -> dict[int, float]:
        """A test metric in its own unit, mean of tasks for `all.<metric>`."""
        names = self.names(metric)
        return {seed: float(np.mean([row[name] for name in names])) for seed, row in self.chosen.items()}

    def validation(self) -> dict[int, float]:
        """The first kind of metric on the validation set, mean of tasks, more is better."""
        metrics = {name: self.run.own_metrics[name] for name in self.names(self.main)}
        return {
            run.seed: float(np.mean([score(run.epochs[i], "val", metrics) for i in RULES[self.rule](run)]))
            for run in self.runs
        }

    def minus(self, other: "Line", metric: str) -> list[float]:
        return paired(self.values(metric), other.values(metric))

    def means(self, other: "Line", metric: str) -> tuple[dict[str, float], dict[str, float]]:
        """Levels of what is behind `metric`, of this line and of the other, over the seeds that both have."""
        seeds = sorted(set(self.chosen) & set(other.chosen))
        names = self.names(metric)
        mine, theirs = (
            {name: float(np.mean([line.chosen[seed][name] for seed in seeds])) for name in names}
            for line in (self, other)
        )
        return mine, theirs

    def noise(self, other: "Line", metric: str) -> float | None:
        """What the test set's size alone can move the difference by; None where that is not known."""
        if not set(self.chosen) & set(other.chosen):
            return None
        mine, theirs = self.means(other, metric)
        if list(mine) == [metric]:
            return metric_noise(self.run, metric, mine[metric], theirs[metric])
        return mean_noise(self.run, list(mine), mine, theirs)


def paired(mine: Values, theirs: Values) -> list[float]:
    """Mine minus theirs on every seed that both have, in ascending order."""
    return [mine[seed] - theirs[seed] for seed in sorted(set(mine) & set(theirs))]


def lines_of(members: Mapping[str, Sequence[Run]], rule: str) -> dict[str, Line]:
    """The lines of one problem, by method, in the order of their experiments' names."""
    return {members[name][0].method: Line(members[name], rule) for name in sorted(members)}
