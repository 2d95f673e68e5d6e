"""One method on one problem: its runs, its numbers by seed, and two such lines. Only here are seeds paired.

Seed s of two lines shares split, initialisation, data order and augmentation, so that differences are taken per seed.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np

from gradsurgery.core.discovery import available, find
from gradsurgery.core.examples import Contributions, unpack
from gradsurgery.core.metrics import score
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import by_word
from gradsurgery.evidence.noise import half_width
from gradsurgery.evidence.selection import RULES, select

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

    @cached_property
    def examples(self) -> dict[int, dict[str, Contributions]]:
        """What the test examples contributed at that epoch, by seed; nothing where the history does not hold it."""
        found: dict[int, dict[str, Contributions]] = {}
        for run in self.runs:
            epochs = {run.epochs[index]["epoch"] for index in RULES[self.rule](run)}
            held = [entry["metrics"] for entry in run.examples or () if epochs == {entry["epoch"]}]
            found[run.seed] = {name: unpack(record) for own in held for name, record in own.items()}
        return found

    @property
    def whole(self) -> bool:
        """Whether the line answers for every task of its problem."""
        return set(self.run.own_metrics) == set(self.run.metrics)

    @property
    def alone(self) -> bool:
        """Whether every task has a network of its own: single-task runs in one, and a bound on what sharing costs."""
        network = self.run.declaration.get("settings", {}).get("network", {})
        return "separate" in (network.get("name"), network.get("trunk"), network.get("variant"))

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

    @property
    def redrawn(self) -> bool:
        """Whether the line's transform draws a part of the network anew, so that seed s of two lines shares no initial
        network and does not pair: pairing them was found to hurt. By what is declared, never by the numbers."""
        transform = self.run.declaration.get("transform", {})
        name = transform.get("name")
        default = getattr(find("transforms", name), "branch_init", None) if name in available("transforms") else None
        return bool(transform.get("branch_init", default) == "independent")

    def most_noise(self, others: Iterable["Line"]) -> float | None:
        """The most that the test examples add to the difference of the problem's mean to any of the lines."""
        return max((n for line in others if (n := self.noise(line, self.main)) is not None), default=None)

    def budget(self, other: "Line") -> str:
        """What two lines have the same of.

        Raises:
            ValueError: nothing is: one trained for longer, and no role says that this is the other's compute.
        """
        mine, theirs = self.run, other.run
        if "floor" in (mine.role.kind, theirs.role.kind):
            return "none: a model that is fitted to its end"
        if len(mine.epochs) == len(theirs.epochs):
            return "equal epochs"
        for long, short in ((mine, theirs), (theirs, mine)):
            if long.role.kind == "equal_compute" and long.role.of in (short.method, short.role.of):
                return "equal passes"
        raise ValueError(
            f"`minus` of {mine.experiment} must be a line on its own budget of {len(mine.epochs)} epochs, found "
            f"{theirs.experiment} with {len(theirs.epochs)}."
        )

    def on_budget_of(self, other: "Line") -> bool:
        """Whether the two may be compared."""
        try:
            return bool(self.budget(other))
        except ValueError:
            return False

    def noise(self, other: "Line | None", metric: str) -> float | None:
        """What drawing the test set alone can move the difference by at 95 %, or this line alone; None: not known."""
        seeds = sorted(set(self.chosen) & set(self.chosen if other is None else other.chosen))
        if other is not None and other.run.data_sha256 != self.run.data_sha256:
            return None
        mine, theirs = ([line.examples[seed] for seed in seeds] if line else [] for line in (self, other))
        return half_width(mine, theirs, self.names(metric), not isinstance(self.run.test_rows, Mapping))


def best_validated(lines: Iterable[Line]) -> dict[int, Line]:
    """On every seed that all have, the line that validates best on it, the first of equals."""
    validated = [(line, line.validation()) for line in lines]
    seeds = set.intersection(*(set(scores) for _, scores in validated)) if validated else set()
    return {seed: max(validated, key=lambda pair: pair[1][seed])[0] for seed in sorted(seeds)}


def paired(mine: Values, theirs: Values) -> list[float]:
    """Mine minus theirs on every seed that both have, in ascending order."""
    return [mine[seed] - theirs[seed] for seed in sorted(set(mine) & set(theirs))]


def lines_of(members: Mapping[str, Sequence[Run]], rule: str) -> dict[str, Line]:
    """The lines of one problem, by method, in the order of their experiments' names."""
    return {members[name][0].method: Line(members[name], rule) for name in sorted(members)}
