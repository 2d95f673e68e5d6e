"""Methods beside the sum in what the layers' gradients do: the same numbers as `observed`, paired by seed."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float64

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.observed import (
    BASELINE,
    COSINE,
    CURVATURE,
    Layer,
    Layered,
    Runs,
    has_null,
    layers,
    names,
    observing,
    over_training,
    principal,
    trained,
    values,
    whole,
)
from gradsurgery.evidence.statistics import Comparison, Summary, compare, summarise


@dataclasses.dataclass(frozen=True)
class Against:
    """A method beside the sum on the whole shared vector; differences are paired by seed, Holm over the methods.

    Attributes:
        cosine, curvature: means over training.
        first, last: curvature in the first and in the last third.
        cosine_minus, curvature_minus: minus the sum; None for the sum itself, and where no seed is shared.
        changed: layers whose mean cosine separates from the sum's, Holm over the layers.
        layers: how many layers were compared.
    """

    cosine: Summary
    curvature: Summary
    first: Summary
    last: Summary
    cosine_minus: Comparison | None
    curvature_minus: Comparison | None
    changed: Sequence[str]
    layers: int


@dataclasses.dataclass(frozen=True)
class Observed:
    """The shared layers of one problem.

    Attributes:
        principal: the line that is shown layer by layer.
        halves: whether it holds the null of half batches.
        layers: of that line.
        methods: every trained line beside the sum.
        moving: the line whose curvature is followed: the sum, else the first.
        movement: its curvature in the last third of training minus that in the first.
    """

    principal: str
    halves: bool
    layers: Sequence[Layer]
    methods: Mapping[str, Against]
    moving: str
    movement: Summary


def observe(runs: Runs) -> Observed | None:
    """None where no line recorded its layers."""
    seen = observing(runs)
    methods = against(seen)
    if not methods:
        return None
    shown, moving = principal(seen), BASELINE if BASELINE in methods else next(iter(methods))
    return Observed(
        shown, has_null(seen[shown]), layers(seen[shown]), methods, moving, movement(seen[moving])
    )  # fmt: skip


def against(runs: Runs) -> dict[str, Against]:
    """Every trained line of one problem beside the sum."""
    own = trained(runs)
    others = [m for m in own if m != BASELINE]
    cosine = _minus_sum(own, others, partial(whole, key=COSINE))
    curvature = _minus_sum(own, others, partial(whole, key=CURVATURE))
    found = {}
    for m, group in own.items():
        first, last = _thirds(group)
        found[m] = Against(
            summarise([float(whole(run, COSINE).mean()) for run in group]),
            summarise([float(whole(run, CURVATURE).mean()) for run in group]),
            summarise(first.tolist()),
            summarise(last.tolist()),
            cosine.get(m),
            curvature.get(m),
            *_changed(own, m),
        )
    return found


def movement(group: Sequence[Run]) -> Summary:
    """The whole vector's curvature in the last third of training minus that in the first, by seed."""
    first, last = _thirds(group)
    return summarise((last - first).tolist())


def _thirds(group: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    means = over_training(group, partial(whole, key=CURVATURE), 3)
    return means[:, 0, 0], means[:, -1, 0]


def _minus_sum(own: Runs, others: Sequence[str], get: Callable[[Run], Layered]) -> dict[str, Comparison]:
    if BASELINE not in own:
        return {}
    paired = {m: _paired(own[m], own[BASELINE], get)[:, 0].tolist() for m in others}
    paired = {m: differences for m, differences in paired.items() if differences}
    return compare(paired) if paired else {}


def _changed(own: Runs, method: str) -> tuple[list[str], int]:
    if method == BASELINE or BASELINE not in own or names(own[method]) != names(own[BASELINE]):
        return [], 0
    paired = _paired(own[method], own[BASELINE], partial(values, key=COSINE))
    if not len(paired):
        return [], 0
    compared = compare({str(i): column.tolist() for i, column in enumerate(paired.T)})
    apart = [name for i, name in enumerate(names(own[method])) if compared[str(i)].separates()]
    return apart, len(compared)


def _paired(
    group: Sequence[Run], base: Sequence[Run], get: Callable[[Run], Layered]
) -> Float64[np.ndarray, "seeds layers"]:
    others = {run.seed: run for run in base}
    pairs = [get(run).mean(axis=0) - get(others[run.seed]).mean(axis=0) for run in group if run.seed in others]
    return np.array(pairs).reshape(len(pairs), -1)
