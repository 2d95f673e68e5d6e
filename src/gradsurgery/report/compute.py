"""The sum on the compute of each surgery method: as many epochs, as many seconds, or as many backward passes.

All three are read from one run of the sum that is longer than the problem's (`sum-long`). Without a schedule its first
epochs are those of a shorter run, so that a budget is a number of its epochs, among which the problem's selection rule
chooses. That they agree with the problem's own sum is checked, not believed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradsurgery.evidence.contract import REFERENCE, TRACK, violations, watching
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.statistics import Comparison, compare
from gradsurgery.report.controls import BASELINE, LONG, Runs, levels, noise_of
from gradsurgery.report.style import family

BUDGETS = ("epochs", "seconds", "backward passes")

Costs = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Paid:
    """One surgery method against the sum on each budget.

    Attributes:
        passes: backward passes a step, in multiples of the sum's.
        seconds: of a step, in multiples of the sum's; as recorded, without the steps that took diagnostics.
        epochs: of the sum, by budget.
        short: budgets that the long run was too short for; there the sum has less than the method.
        compared: method minus sum, by budget, more is better.
        noise: what the test set's size alone explains of it, by budget; 0 where that is not known.
    """

    passes: float
    seconds: float
    epochs: Mapping[str, int]
    short: Sequence[str]
    compared: Mapping[str, Comparison]
    noise: Mapping[str, float]

    def word(self, budget: str) -> str:
        """Better, worse, or no difference detected."""
        entry = self.compared[budget]
        if entry.difference.sd is None:
            return "not run (one seed has no interval)"
        if not entry.separates(self.noise[budget]):
            return "no difference detected"
        return "better" if entry.difference.mean > 0 else "worse"


def long_run(runs: Runs) -> Sequence[Run]:
    """The sum on more epochs and otherwise the same terms, on the seeds that it shares with the sum; or nothing."""
    for method in LONG:
        if method in runs and BASELINE in runs:
            base = {run.seed: run for run in runs[BASELINE]}
            long = [run for run in runs[method] if run.seed in base]
            more = long and long[0].track == REFERENCE and len(long[0].epochs) > len(runs[BASELINE][0].epochs)
            if more and _but_epochs(long[0]) == _but_epochs(runs[BASELINE][0]):
                return long
    return ()


def begins_alike(runs: Runs) -> bool:
    """Whether the long run begins as the problem's sum to the last digit: with a schedule it holds no shorter run."""
    base = {run.seed: run.epochs for run in runs[BASELINE]}
    return all(run.epochs[: len(base[run.seed])] == base[run.seed] for run in long_run(runs))


def paid(runs: Runs, costs: Costs, rule: str) -> dict[str, Paid]:
    """Every controlled method that takes more backward passes than the sum, by method; none without a usable long run.

    Holm's correction is over the methods, on each budget by itself.

    Args:
        runs: of one problem, by method.
        costs: by experiment.
        rule: the problem's selection rule, applied to the epochs of a budget only.
    """
    long = long_run(runs)
    base = _cost(runs[BASELINE], costs) if long and begins_alike(runs) else None
    if base is None:
        return {}
    own, longest = len(runs[BASELINE][0].epochs), len(long[0].epochs)
    barred = violations(runs, rule, BASELINE)
    ratios, epochs = {}, {}
    for method, group in runs.items():
        cost = _cost(group, costs)
        if cost is None or cost[0] <= base[0] or method in barred or not _comparable(method, group):
            continue
        passes, seconds = ratios[method] = (cost[0] / base[0], cost[1] / base[1])
        epochs[method] = dict(zip(BUDGETS, (own, max(own, round(own * seconds)), round(own * passes)), strict=True))
    compared: dict[str, dict[str, Comparison]] = {}
    noise: dict[str, dict[str, float]] = {}
    for budget in BUDGETS:
        cut = {m: _first(long, min(epochs[m][budget], longest)) for m in epochs}
        differences = {m: _paired(levels(runs[m], rule), levels(cut[m], rule)) for m in epochs}
        compared[budget] = compare(differences)
        noise[budget] = {m: noise_of({m: runs[m], LONG[0]: cut[m]}, (m, LONG[0]), rule) for m in epochs}
    return {
        m: Paid(
            *ratios[m],
            epochs={b: min(count, longest) for b, count in epochs[m].items()},
            short=[b for b, count in epochs[m].items() if count > longest],
            compared={b: compared[b][m] for b in BUDGETS},
            noise={b: noise[b][m] for b in BUDGETS},
        )
        for m in epochs
    }  # fmt: skip


def _comparable(method: str, group: Sequence[Run]) -> bool:
    return group[0].track == TRACK and not watching(method) and not family(method).startswith("placebo")


def _cost(group: Sequence[Run], costs: Costs) -> tuple[float, float] | None:
    """Backward passes a step, and its milliseconds (medians over steps and seeds); None where they are not on record.

    Not the seconds of the run: a line that is observed spends some of them on being looked at.
    """
    seeds = list(costs.get(group[0].experiment, {}).get("seeds", {}).values())
    if not seeds or not seeds[0]["backward_passes_per_step"]:
        return None
    return float(seeds[0]["backward_passes_per_step"]), float(np.median([seed["step_ms"] for seed in seeds]))


def _but_epochs(run: Run) -> dict[str, Any]:
    """What is declared, but for how long to train and what to record on the way."""
    declaration = {k: v for k, v in run.declaration.items() if k not in ("settings", "learner")}
    return {**declaration, "settings": {k: v for k, v in run.declaration.get("settings", {}).items() if k != "epochs"}}


def _first(group: Sequence[Run], count: int) -> list[Run]:
    return [dataclasses.replace(run, epochs=run.epochs[:count]) for run in group]


def _paired(mine: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    return [mine[seed] - theirs[seed] for seed in sorted(set(mine) & set(theirs))]
