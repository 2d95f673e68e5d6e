"""What an equal-budget search found: expected best of n trials, and the winners against each other on fresh seeds."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.statistics import Summary, summarise
from gradsurgery.evidence.study import STATIC, SUM, Trial, best, level, searched, winners

FEW = (1, 5)  # trials of which the expected best is printed, beside that of all
_DRAWS = 2_000
_SEED = 20_202  # of the bootstrap over trials


@dataclasses.dataclass(frozen=True)
class Searched:
    """What the search did for one method. Levels are means of tasks of the first kind of metric, more is better.

    Attributes:
        trials, failed: how many.
        chosen: the number of the best trial on validation; None where every trial failed.
        changed: what that trial set otherwise than the first one, the default.
        default, best: their validation levels; None for a trial that failed.
        test: of the chosen trial on fresh seeds; None where none finished.
        missing: fresh seeds on which it failed.
        curve: expected best validation of n = 1, 2, ... trials.
        expected: the same for a few n, with the interval that the trials drawn leave.
    """

    trials: int
    failed: int
    chosen: int | None
    changed: Sequence[tuple[str, Any]]
    default: float | None
    best: float | None
    test: Summary | None
    missing: int
    curve: Sequence[float]
    expected: Mapping[str, Summary]


def search(trials: Sequence[Trial], rule: str) -> dict[str, Searched]:
    """By method, the sum and static weights first."""
    finished, drawn = winners(trials), _drawn(trials, rule)
    fresh = {t.seed for t in trials if t.kind == "winner"}
    found = {}
    for method, tried in searched(trials).items():
        winner, runs = best(tried, rule), finished.get(method, [])
        curve = [expected_best(drawn[method], n + 1) for n in range(len(tried))]
        found[method] = Searched(
            len(tried), sum(t.run is None for t in tried), None if winner is None else winner.number,
            [] if winner is None else _changed(tried[0].declaration, winner.declaration),
            _validated(tried[0], rule), None if winner is None else _validated(winner, rule),
            summarise([level(run, rule, "test") for run in runs]) if runs else None, len(fresh) - len(runs), curve,
            _bootstrapped(drawn[method]),
        )  # fmt: skip
    return found


def contrasts(trials: Sequence[Trial], rule: str) -> list[Contrast]:
    """Every winner minus that of static weights, and minus that of the sum, on the same fresh seeds.

    A winner that failed on a fresh seed is not compared: its remaining seeds would flatter it.
    """
    fresh = {t.seed for t in trials if t.kind == "winner"}
    whole = {m: Line(runs, rule) for m, runs in winners(trials).items() if {run.seed for run in runs} == fresh}
    made = list[Contrast]()
    for baseline in (STATIC, SUM):
        base = whole.get(baseline)
        if base is not None:
            for m, line in whole.items():
                found = (
                    Contrast.of(f"search, {baseline}", line, base, base.main, "equal epochs and trials")
                    if m != baseline
                    else None
                )
                made += [dataclasses.replace(found, method=m, minus=baseline)] if found else []
    return made


def expected_best(values: Sequence[float], n: int) -> float:
    """Expected best of n draws with replacement from `values` (Dodge et al., 2019, Equation 3).

    With v_1 <= ... <= v_N it is the sum of v_i ((i/N)^n - ((i-1)/N)^n).
    """
    if n < 1:
        raise ValueError(f"`n` must be at least 1, found n = {n}.")
    return float(np.sort(np.array(values)) @ _shares(len(values), n))


def _drawn(trials: Sequence[Trial], rule: str) -> dict[str, list[float]]:
    """Validation levels of every method's trials. A failed trial counts as the worst that any trial reached."""
    found = {m: [_validated(t, rule) for t in own] for m, own in searched(trials).items()}
    worst = min((value for values in found.values() for value in values if value is not None), default=0.0)
    return {m: [worst if value is None else value for value in values] for m, values in found.items()}


def _bootstrapped(values: Sequence[float]) -> dict[str, Summary]:
    rng = np.random.default_rng(_SEED)
    samples = np.sort(rng.choice(np.array(values), (_DRAWS, len(values))), axis=1)
    found = {}
    for n in sorted({*FEW, len(values)} & set(range(1, len(values) + 1))):
        low, high = np.quantile(samples @ _shares(len(values), n), [0.025, 0.975])
        found[str(n)] = Summary(len(values), expected_best(values, n), None, float(low), float(high))
    return found


def _validated(trial: Trial, rule: str) -> float | None:
    return None if trial.run is None else level(trial.run, rule, "val")


def _changed(default: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        (name, value)
        for block in ("settings", "transform", "balancer", "rule", "aggregator")
        for name, value in chosen.get(block, {}).items()
        if default.get(block, {}).get(name) != value
    ]


def _shares(count: int, n: int) -> np.ndarray:
    """How likely each of `count` values in ascending order is the best of n draws."""
    return np.diff((np.arange(count + 1) / count) ** n)
