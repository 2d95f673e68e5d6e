"""Dose and response: what the sum loses to conflict and to unequal weights, and what takes the loss back.

The dose is dialled by the module `dial`: the cosine of fixed heads, or how many classes a second task has in another
order under one output layer; and `ratio`, what the last loss weighs over the others. What a method has over the sum at
the same dose is a contrast like any other; here is what needs two problems, or a choice: every line against the sum at
the same dial and equal weights, and static weights chosen on validation. All of it is the mean over tasks, paired by
seed: seed s has the same network and the same heads, but for their angle, at every dose.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from gradsurgery.evidence.fronts import BASELINE, weights_of
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line, best_validated, paired
from gradsurgery.evidence.observed import COSINE
from gradsurgery.evidence.statistics import Summary, summarise

MODULE = "dial"
DIALS = ("cosine", "permuted")  # the settings that turn it; a problem has one of them


@dataclasses.dataclass(frozen=True)
class Dose:
    """One setting of the dial.

    Attributes:
        tasks, ratio: how many there are, and the weight of the last.
        dial: what was dialled, `cosine` or `permuted`.
        position: of the dial.
        measured: the cosine between the tasks' gradients on the sum's way, median over its steps.
        alone: a task trained by itself, mean of those that were.
        equal: the sum at equal weights minus the sum; None where it was not run.
        static: the static weights, the sum's among them, that validate best on each seed, minus the sum; None where the
            sum's are the only ones.
        beyond: every other line that answers for all tasks minus the sum at equal weights.
        above: those of them whose interval lies above zero.
    """

    tasks: int
    ratio: float
    dial: str
    position: float
    measured: Summary | None
    alone: Summary | None
    equal: Summary | None
    static: Summary | None
    beyond: Mapping[str, Summary]
    above: Sequence[str]

    @property
    def conflict(self) -> float:
        """Rises with it."""
        return -self.position if self.dial == "cosine" else self.position


def doses(problems: Mapping[str, Mapping[str, Line]]) -> dict[str, Dose]:
    """Of every dialled problem that has its sum, by problem."""
    sums = {problem: lines[BASELINE] for problem, lines in problems.items() if is_dialled(lines)}
    return {problem: _dose(problems[problem], line, _equal(line, sums)) for problem, line in sums.items()}


def is_dialled(lines: Mapping[str, Line]) -> bool:
    """Whether these are the lines of a dialled problem, its sum among them."""
    return BASELINE in lines and lines[BASELINE].run.declaration.get("module") == MODULE


def _equal(line: Line, sums: Mapping[str, Line]) -> Line | None:
    """The sum of the problem that differs in nothing but equal weights; the line itself where they are."""
    wanted = {**line.run.declaration["settings"], "ratio": 1.0}
    return next((other for other in sums.values() if other.run.declaration["settings"] == wanted), None)


def _dose(lines: Mapping[str, Line], plain: Line, equal: Line | None) -> Dose:
    settings, main = plain.run.declaration["settings"], plain.main
    level, aim = plain.values(main), equal.values(main) if equal is not None else {}
    weighed = [plain, *(line for line in lines.values() if weights_of(line) is not None)]
    others = {m: line for m, line in lines.items() if line.whole and line is not plain}
    beyond = {
        m: gap
        for m, line in others.items()
        if equal and (gap := _summary(paired(line.values(main), aim), line.noise(equal, main)))
    }
    dial = next(name for name in DIALS if settings.get(name) is not None)
    return Dose(
        settings["num_tasks"], settings["ratio"], dial, float(settings[dial]),
        _summary([median for run in plain.runs if (median := _median(run)) is not None]),
        _summary(_alone(lines)),
        _summary(paired(aim, level), equal.noise(plain, main) if equal else None),
        _summary(
            paired({s: line.values(main)[s] for s, line in best_validated(weighed).items()}, level),
            plain.most_noise(weighed[1:]),
        ) if len(weighed) > 1 else None,
        beyond, [m for m, gap in beyond.items() if gap.low is not None and gap.low > 0],
    )  # fmt: skip


def _summary(values: list[float], noise: float | None = None) -> Summary | None:
    """None without values; `noise` as in a contrast, so that one difference has one interval wherever it stands."""
    return summarise(values, noise or 0.0) if values else None


def _median(run: Run) -> float | None:
    values = [row[COSINE] for row in run.diagnostics if row.get(COSINE) is not None]
    return float(np.median(values)) if values else None


def _alone(lines: Mapping[str, Line]) -> list[float]:
    """By seed, over the lines that train one task."""
    single = [line.values(line.main) for line in lines.values() if not line.whole]
    seeds = set.intersection(*map(set, single)) if single else set()
    return [float(np.mean([values[seed] for values in single])) for seed in sorted(seeds)]
