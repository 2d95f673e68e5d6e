"""The sum on the compute of each surgery method: as many epochs, as many seconds, or as many backward passes.

All three are read from one run of the sum that is longer than the problem's. Without a schedule its first epochs are
those of a shorter run, so that a budget is a number of its epochs, among which the problem's selection rule chooses.
That they agree with the problem's own sum is checked, not believed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradsurgery.evidence.contract import REFERENCE, TRACK, violations
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line

BASELINE = "sum"
BUDGETS = ("epochs", "seconds", "backward passes")

Costs = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Budget:
    """What one surgery method takes.

    Attributes:
        passes: backward passes a step, in multiples of the sum's.
        seconds: of a step, in multiples of the sum's; as recorded, without the steps that took diagnostics.
        epochs: of the sum, by budget: what it got.
        short: budgets that the long run was too short for; there the sum has less than the method.
    """

    passes: float
    seconds: float
    epochs: Mapping[str, int]
    short: Sequence[str]


@dataclasses.dataclass(frozen=True)
class LongRun:
    """The sum on more epochs: on how many seeds, how many epochs, and whether it begins as the problem's sum to the
    last digit: with a schedule it holds no shorter run, and no budget is read from it."""

    seeds: int
    epochs: int
    alike: bool


def describe(lines: Mapping[str, Line], long: Line) -> LongRun:
    return LongRun(len(long.runs), len(long.run.epochs), begins_alike(lines, long))


def long_run(lines: Mapping[str, Line]) -> Line | None:
    """The sum on more epochs and otherwise the same terms, on the seeds that it shares with the sum."""
    if BASELINE not in lines:
        return None
    base = lines[BASELINE]
    roles = {method: line.run.role for method, line in lines.items()}
    for method in (m for m, role in roles.items() if (role.kind, role.base) == ("equal_compute", BASELINE)):
        long = [run for run in lines[method].runs if run.seed in base.chosen]
        more = long and long[0].track == REFERENCE and len(long[0].epochs) > len(base.run.epochs)
        if more and _but_epochs(long[0]) == _but_epochs(base.run):
            return Line(long, base.rule)
    return None


def begins_alike(lines: Mapping[str, Line], long: Line) -> bool:
    """Whether the long run begins as the problem's sum to the last digit: with a schedule it holds no shorter run."""
    base = {run.seed: run.epochs for run in lines[BASELINE].runs}
    return all(run.epochs[: len(base[run.seed])] == base[run.seed] for run in long.runs)


def budgets(lines: Mapping[str, Line], costs: Costs) -> dict[str, Budget]:
    """Every controlled method that takes more backward passes than the sum; none without a usable long run."""
    long = long_run(lines)
    base = _cost(lines[BASELINE], costs) if long and begins_alike(lines, long) else None
    if base is None or long is None:
        return {}
    own, longest = len(lines[BASELINE].run.epochs), len(long.run.epochs)
    barred = violations({m: line.runs for m, line in lines.items()}, long.rule, BASELINE)
    found = {}
    for method, line in lines.items():
        cost = _cost(line, costs)
        if cost is None or cost[0] <= base[0] or method in barred or not _comparable(line):
            continue
        passes, seconds = cost[0] / base[0], cost[1] / base[1]
        asked = dict(zip(BUDGETS, (own, max(own, round(own * seconds)), round(own * passes)), strict=True))
        got = {budget: min(count, longest) for budget, count in asked.items()}
        found[method] = Budget(passes, seconds, got, [b for b, count in asked.items() if count > longest])
    return found


def contrasts(lines: Mapping[str, Line], found: Mapping[str, Budget]) -> list[Contrast]:
    """Every method minus the sum, a family a budget; the rule chooses among the epochs of the budget only."""
    long, made = long_run(lines), list[Contrast]()
    if long is None:
        return []
    for budget in BUDGETS:
        for method, one in found.items():
            cut = [dataclasses.replace(run, epochs=run.epochs[: one.epochs[budget]]) for run in long.runs]
            short = " (the sum had less)" if budget in one.short else ""
            # of an epoch in the middle nothing is kept of the examples: those of the whole run stand for them
            noise = lines[method].noise(long, long.main)
            name = f"equal {budget.removeprefix('backward ')}{short}"
            contrast = Contrast.of(f"equal {budget}", lines[method], Line(cut, long.rule), long.main, name, noise)
            made += [dataclasses.replace(contrast, minus=BASELINE)] if contrast else []
    return made


def _comparable(line: Line) -> bool:
    return line.run.track == TRACK and line.run.role.kind in ("study", "baseline", "control")


def _cost(line: Line, costs: Costs) -> tuple[float, float] | None:
    """Backward passes a step, and its milliseconds (medians over steps and seeds); None where they are not on record.

    Not the seconds of the run: a line that is observed spends some of them on being looked at.
    """
    seeds = list(costs.get(line.run.experiment, {}).get("seeds", {}).values())
    if not seeds or not seeds[0]["backward_passes_per_step"]:
        return None
    return float(seeds[0]["backward_passes_per_step"]), float(np.median([seed["step_ms"] for seed in seeds]))


def _but_epochs(run: Run) -> dict[str, Any]:
    """What is declared, but for how long to train and what to record on the way."""
    declaration = {k: v for k, v in run.declaration.items() if k not in ("settings", "learner")}
    return {**declaration, "settings": {k: v for k, v in run.declaration.get("settings", {}).items() if k != "epochs"}}
