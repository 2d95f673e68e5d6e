"""The static weights that a study tried, a front for two tasks and a cloud for more, and the methods beside them."""

from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.evidence import clouds, fronts
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.study import Trial


def weighted(trials: Sequence[Trial], rule: str) -> dict[str, Line]:
    """A study's static weights; a weighting that failed on some seed is left out, as it has no point there."""
    names = sorted({t.method for t in trials if t.kind == "front"})
    groups = {name: [t.run for t in trials if t.kind == "front" and t.method == name] for name in names}
    return {name: Line([r for r in runs if r is not None], rule) for name, runs in groups.items() if None not in runs}


def study_front(
    problem: str, weights: Mapping[str, Line], lines: Mapping[str, Line], made: Mapping[str, dict[str, Any]]
) -> list[Contrast]:
    """The front or the cloud of a study's weights goes into `made`; how far each method of the table lies beyond it."""
    if not weights:
        return []
    others = _comparable(lines, next(iter(weights.values())).run)
    if len(next(iter(weights.values())).run.metrics) > 2:
        if others and (cloud := clouds.cloud(weights, others)) is not None:
            made["clouds"][problem] = cloud
        return []
    front = fronts.front({**others, **weights}, "study front") if others else None
    if front is None:
        return []
    made["study_fronts"][problem] = front[0]
    return front[1]


def _comparable(lines: Mapping[str, Line], like: Run) -> dict[str, Line]:
    """Controlled lines of the table that ran on the front's terms and answer for every task."""
    return {m: line for m, line in lines.items() if fronts.is_tried(line) and _terms(line.run) == _terms(like)}


def _terms(run: Run) -> tuple[object, ...]:
    settings = {k: v for k, v in run.declaration.get("settings", {}).items() if k != "network"}
    return run.scale, run.data_sha256, settings
