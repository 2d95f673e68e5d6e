"""Time to target: what each method pays until it is as good on validation as the sum is at its end.

The target is a seed's own: the validation score of the sum on that seed after its last epoch, so that what seeds share
cancels and the sum reaches it by construction. A run that never reaches it pays infinitely much, which is None here;
the median over seeds is then finite as long as more than half of them reach it.

Source: performance profiles, Dolan and More 2002 (arXiv cs/0102001): the share of problems on which a method pays at
most tau times what the cheapest method pays there.

Departures:
    1. A run is looked at once an epoch, as its history is: what it pays is rounded up to whole epochs.
    2. A method's share is of the problems that it ran on, and not of all: who did not run has not failed.
    3. Seconds are those of the training steps alone, the median step times their number, without evaluation.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradsurgery.core.metrics import score
from gradsurgery.evidence.contract import TRACK
from gradsurgery.evidence.fronts import BASELINE, is_static
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.roles import ALONE

KINDS = ("epochs", "backward passes", "seconds")
TAUS = tuple(2.0 ** (k / 8) for k in range(33))  # 1 to 16
LEAST = 3  # problems that a profile is drawn over

Costs = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Reach:
    """One method on one problem.

    Attributes:
        reached: on how many of `n` seeds.
        paid: by kind, median over seeds; None where the target is not reached. A kind that is not on record is missing.
    """

    reached: int
    n: int
    paid: Mapping[str, float | None]


@dataclasses.dataclass(frozen=True)
class Profile:
    """One method over its problems: the share of them within `TAUS` times the cheapest."""

    problems: int
    shares: Sequence[float]


def reaches(lines: Mapping[str, Line], costs: Costs) -> dict[str, Reach]:
    """Of every controlled method or baseline that answers for all tasks, but for the weights that are tried out; empty
    without the sum."""
    if BASELINE not in lines:
        return {}
    targets = {run.seed: _score(run, -1) for run in lines[BASELINE].runs}
    return {
        method: found
        for method, line in lines.items()
        if line.whole and line.run.track == TRACK and line.run.role.kind in ALONE and not is_static(line)
        if (found := _reach(line, targets, costs)) is not None
    }


def profiles(problems: Mapping[str, Mapping[str, Reach]]) -> dict[str, dict[str, Profile]]:
    """By kind and method, of the methods that ran on `LEAST` problems or more; best first."""
    found = dict[str, dict[str, Profile]]()
    for kind in KINDS:
        ratios = dict[str, list[float]]()
        for methods in problems.values():
            paid = {m: _finite(reach.paid[kind]) for m, reach in methods.items() if kind in reach.paid}
            least = min(paid.values(), default=math.inf)
            for method, value in paid.items() if least < math.inf else ():
                ratios.setdefault(method, []).append(value / least)
        shares = {
            m: Profile(len(own), [float(np.mean(np.array(own) <= tau)) for tau in TAUS])
            for m, own in ratios.items() if len(own) >= LEAST
        }  # fmt: skip
        found[kind] = dict(sorted(shares.items(), key=lambda item: (-sum(item[1].shares), item[0])))
    return {kind: methods for kind, methods in found.items() if methods}


def _reach(line: Line, targets: Mapping[int, float], costs: Costs) -> Reach | None:
    epochs = {run.seed: _first(run, targets[run.seed]) for run in line.runs if run.seed in targets}
    if not epochs:
        return None
    lengths = {run.seed: len(run.epochs) for run in line.runs}
    seeds = costs.get(line.run.experiment, {}).get("seeds", {})
    paid = {"epochs": _median(list(epochs.values()))}
    for kind, per_step in (("backward passes", "backward_passes_per_step"), ("seconds", "step_ms")):
        rows = {seed: seeds[str(seed)] for seed in epochs if str(seed) in seeds}
        if len(rows) == len(epochs) and all(row["steps"] and row[per_step] for row in rows.values()):
            unit = 1e-3 if kind == "seconds" else 1.0
            paid[kind] = _median([
                epochs[seed] * row["steps"] / lengths[seed] * row[per_step] * unit for seed, row in rows.items()
            ])  # fmt: skip
    return Reach(sum(value < math.inf for value in epochs.values()), len(epochs), paid)


def _first(run: Run, target: float) -> float:
    """The first epoch that is as good."""
    return next((float(i + 1) for i in range(len(run.epochs)) if _score(run, i) >= target), math.inf)


def _score(run: Run, epoch: int) -> float:
    return score(run.epochs[epoch], "val", run.metrics)


def _median(values: Sequence[float]) -> float | None:
    """The upper one of two in the middle, so that infinity is never averaged."""
    middle = sorted(values)[len(values) // 2]
    return middle if middle < math.inf else None


def _finite(value: float | None) -> float:
    return math.inf if value is None else value
