"""Controls that decide whether a mechanism is real: placebos, tuned weights, noise floor, nulls for conflict.

All are ordinary lines of one problem, known by their role or by what they declare. Levels are means over the tasks of
a problem's first metric.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from gradsurgery.evidence.contract import TRACK
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.fronts import LEAST, is_tried
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line, best_validated, paired
from gradsurgery.evidence.statistics import Summary, summarise

BASELINE = "sum"
TUNED = "tuned static weights"
SAME_TASK, CROSS_TASK = "null.same_task", "null.cross_task"
NULLS = ("mean_cosine", CROSS_TASK, SAME_TASK)  # two tasks; two tasks on half a batch each; one task on two halves

Lines = Mapping[str, Line]


@dataclasses.dataclass(frozen=True)
class Tuned:
    """Tuned static weights: on every seed, those that validate best on it.

    Choosing per seed puts the choice itself into the interval, not only the training.

    Attributes:
        level: on the test set.
        shares: of the first task, by seed.
        count: weights to choose from.
    """

    level: Summary
    shares: Sequence[float]
    count: int


@dataclasses.dataclass(frozen=True)
class Repeat:
    """One line run again on the same seeds: the largest difference of any number of its histories (None where one has a
    number that the other lacks), beside the spread over other seeds, in the metric's own unit."""

    method: str
    again: str
    seeds: int
    largest: float | None
    spread: Summary


@dataclasses.dataclass(frozen=True)
class Null:
    """Cosines of one kind in the diagnostics of one line: their mean by seed, and over all steps the share below zero
    and the standard deviation. `kind` is a key of the diagnostics, or `random` for directions in `parameters`."""

    method: str
    kind: str
    mean: Summary | None
    below: float
    sd: float
    steps: int
    parameters: int = 0


def placebos(lines: Lines) -> list[Contrast]:
    """Every method that has placebos minus each of them and minus the sum, at equal epochs and at equal passes."""
    found = list[Contrast]()
    for method in dict.fromkeys(line.run.role.of or "" for line in lines.values() if line.run.role.kind == "placebo"):
        if method in lines:
            own, kinds = lines[method], {m: line.run.role for m, line in lines.items()}
            fakes = [m for m in sorted(lines, reverse=True) if (kinds[m].kind, kinds[m].of) == ("placebo", method)]
            long = [m for m in lines if (kinds[m].kind, kinds[m].base) == ("equal_compute", BASELINE)]
            others = [m for m in (*fakes, BASELINE, *long) if m in lines and own.on_budget_of(lines[m])]
            made = [Contrast.of("placebos", own, lines[m], own.main) for m in others]
            found += [contrast for contrast in made if contrast]
    return found


def tuned(lines: Lines) -> tuple[Tuned, list[Contrast]] | None:
    """None where there are too few weights, or nothing held out to tune them on; every controlled line minus the tuned
    ones."""
    static = {
        m: line
        for m, line in lines.items()
        if _is_weighted(line) and line.run.track == TRACK and line.run.declaration["settings"].get("hold_out", True)
    }
    best = best_validated(static.values())
    if len(static) < LEAST or not best:
        return None
    level = {seed: line.values(line.main)[seed] for seed, line in best.items()}
    weights = [line.run.declaration["balancer"]["weights"] for line in best.values()]
    record = Tuned(summarise(list(level.values())), [given[0] / sum(given) for given in weights], len(static))
    found = list[Contrast]()
    for line in lines.values():
        if is_tried(line) and (gaps := paired(line.values(line.main), level)):
            found.append(Contrast.by_seed("tuned", line, TUNED, gaps, line.most_noise(static.values())))
    return record, found


def _is_weighted(line: Line) -> bool:
    return bool(line.run.declaration.get("balancer", {}).get("name") == "static")


def repeats(lines: Lines) -> list[Repeat]:
    """How far one experiment moves when it is run again, with the same seed and with another one."""
    found = []
    for line in lines.values():
        original = lines.get(line.run.role.of or "") if line.run.role.kind == "repeat" else None
        if original is not None:
            runs = {run.seed: run for run in original.runs}
            pairs = [(run, runs[run.seed]) for run in line.runs if run.seed in runs]
            largest = max((_largest(*pair) for pair in pairs), default=0.0)
            spread = summarise(list(original.values(original.main).values()))
            found.append(
                Repeat(original.method, line.method, len(pairs), None if largest == math.inf else largest, spread)
            )
    return found


def nulls(lines: Lines) -> list[Null]:
    """Cosines between tasks beside cosines that hold no conflict of tasks: halves of batches, mixtures, chance."""
    found = []
    for method, line in lines.items():
        rows = [row for run in line.runs for row in run.diagnostics]
        if any(SAME_TASK in row for row in rows):
            found += [_null(line, key) for key in NULLS]
        if line.run.declaration.get("balancer", {}).get("name") == "placebo_permuted":
            found.append(_null(line, "mean_cosine"))
        for sd in {row["null.random_sd"] for row in rows if "null.random_sd" in row}:
            found.append(Null(method, "random", None, 0.5, sd, 0, round(sd**-2)))
    return found


def half_batches(lines: Lines) -> Summary | None:
    """Mean cosine between two tasks minus that of two halves of one task's batch, by seed; None without two seeds."""
    for line in lines.values():
        runs = [run for run in line.runs if any(SAME_TASK in row for row in run.diagnostics)]
        if len(runs) > 1:
            return summarise([_mean(run, CROSS_TASK) - _mean(run, SAME_TASK) for run in runs])
    return None


def _largest(run: Run, other: Run) -> float:
    largest = 0.0
    if any(set(mine) != set(theirs) for mine, theirs in zip(run.epochs, other.epochs, strict=False)):
        return math.inf
    for mine, theirs in zip([*run.epochs, *run.diagnostics], [*other.epochs, *other.diagnostics], strict=False):
        both = [key for key in mine if mine[key] is not None and theirs.get(key) is not None]  # one may observe more
        largest = max([largest, *(abs(mine[key] - theirs[key]) for key in both)])
    same = (len(run.epochs), len(run.diagnostics)) == (len(other.epochs), len(other.diagnostics))
    return largest if same else math.inf


def _null(line: Line, key: str) -> Null:
    values = [row[key] for run in line.runs for row in run.diagnostics if row.get(key) is not None]
    mean = summarise([_mean(run, key) for run in line.runs])
    return Null(line.method, key, mean, float(np.mean(np.array(values) < 0)), float(np.std(values)), len(values))


def _mean(run: Run, key: str) -> float:
    return float(np.mean([row[key] for row in run.diagnostics if row.get(key) is not None]))
