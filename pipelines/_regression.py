"""Did it reproduce? Fresh means against committed ones, within the bands of params.yaml `regression`."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Moved:
    """A number outside its band, or one that only one side has (then the other is NaN)."""

    experiment: str
    metric: str
    fresh: float
    committed: float
    band: float

    def __str__(self) -> str:
        name = f"{self.experiment} {self.metric}"
        if math.isnan(self.committed) and not math.isnan(self.fresh):
            return f"{name} {self.fresh:.4g} is new: nothing committed to hold it against"
        if math.isnan(self.fresh) and not math.isnan(self.committed):
            return f"{name} {self.committed:.4g} is committed, and none that is finite was found now"
        return f"{name} {self.committed:.4g} -> {self.fresh:.4g} (band {self.band:g})"


def compare(
    fresh: Mapping[str, Any], committed: Mapping[str, Any], regression: Mapping[str, Any]
) -> tuple[int, list[Moved]]:
    """How many means were compared, and those that moved by more than their band.

    Args:
        fresh: reports/metrics.json of this run.
        committed: the same of the commit.
        regression: `bands` by the last word of a metric's name; `exceptions` by experiment, else by problem.
    """
    compared, moved = 0, []
    for experiment in sorted(fresh.keys() | committed.keys()):
        new, old = _means(fresh.get(experiment, {})), _means(committed.get(experiment, {}))
        problem = (fresh.get(experiment) or committed[experiment])["problem"]
        for metric in sorted(new.keys() | old.keys()):
            band = _band(experiment, problem, metric.rsplit(".", 1)[-1], regression)
            if band is None:
                continue
            compared += 1
            one = Moved(experiment, metric, new.get(metric, math.nan), old.get(metric, math.nan), band)
            if not abs(one.fresh - one.committed) <= band:
                moved.append(one)
    return compared, moved


def means(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What `compare` needs of a metrics.json, and no more: the small record that another scale keeps in Git."""
    return {
        experiment: {"problem": entry["problem"], **{name: {"mean": mean} for name, mean in _means(entry).items()}}
        for experiment, entry in metrics.items()
    }


def _means(entry: Mapping[str, Any]) -> dict[str, float]:
    return {name: v["mean"] for name, v in entry.items() if isinstance(v, dict) and v.get("mean") is not None}


def _band(experiment: str, problem: str, word: str, regression: Mapping[str, Any]) -> float | None:
    for owner in (experiment, problem):
        if word in regression["exceptions"].get(owner, {}):
            return float(regression["exceptions"][owner][word]["band"])
    return regression["bands"].get(word)
