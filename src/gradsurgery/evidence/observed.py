"""What the task gradients do in every shared layer while a network is trained: numbers from the histories' `observed`.

Every number is first a mean over steps of one seed and then summarised over seeds. Three nulls stand beside the cosine:

    halves      the cosine between the gradients of two tasks on two halves of a batch, minus that between the gradients
                of one task on them (`excess`). Both carry the noise of half a batch, so zero means that tasks disagree
                no more than examples do. Only lines with `learner.half_batches` have it.
    directions  the mean cosine over K tasks of random directions in a layer of P parameters has mean 0 and standard
                deviation sqrt(2 / (K (K - 1) P)): independent directions are uncorrelated pair by pair.
    the sum     another method's cosine minus that of training on the sum, paired by seed.

Curvature is d^T H d / |d|^2 of the mean task loss, d the direction of the step before the optimiser changes it; a
layer's curvature is its share of that, so that shares add up.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float64

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.roles import COPIES
from gradsurgery.evidence.statistics import Comparison, Summary, compare, summarise

Runs = Mapping[str, Sequence[Run]]
Layered = Float64[np.ndarray, "steps layers"]

BASELINE = "sum"
COSINE, SIMILARITY, CURVATURE = "mean_cosine", "magnitude_similarity", "curvature"
SAME, CROSS = "null.same_task", "null.cross_task"


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer over the whole training, with 95 % intervals over seeds.

    Attributes:
        size: parameters.
        cosine: between tasks, mean over steps.
        below: share of steps whose cosine lies more than two standard deviations of random directions below zero.
        tested: `excess` where it was measured, else the cosine itself; against zero, Holm over the layers.
        similarity: of the gradients' lengths.
        first, last: the curvature's share in the first and in the last third of training.
    """

    name: str
    size: int
    cosine: Summary
    below: Summary
    tested: Comparison
    similarity: Summary
    first: Summary
    last: Summary


def observing(runs: Runs) -> dict[str, Sequence[Run]]:
    """The methods of one problem all of whose runs hold numbers by layer."""
    return {m: group for m, group in runs.items() if all(run.observed and run.observed["rows"] for run in group)}


def trained(runs: Runs) -> dict[str, Sequence[Run]]:
    """Without the lines that repeat another line's training to measure something."""
    return {m: group for m, group in runs.items() if group[0].role.kind not in COPIES}


def principal(runs: Runs) -> str:
    """The line whose layers are shown one by one: the one with the null, else the sum, else the first."""
    nulls = [m for m, group in runs.items() if has_null(group)]
    return nulls[0] if nulls else BASELINE if BASELINE in runs else next(iter(runs))


def has_null(group: Sequence[Run]) -> bool:
    return all(run.observed is not None and all(SAME in row for row in run.observed["rows"]) for run in group)


def names(group: Sequence[Run]) -> list[str]:
    """The shared layers, from the input on."""
    assert group[0].observed is not None
    return list(group[0].observed["names"])


def values(run: Run, key: str) -> Layered:
    """One quantity of every layer at every diagnosed step."""
    assert run.observed is not None
    return np.array([row[key] for row in run.observed["rows"]], dtype=float)


def excess(run: Run) -> Layered:
    """By how much two tasks agree more than two halves of one task's batch do; below zero they agree less."""
    return values(run, CROSS) - values(run, SAME)


def whole(run: Run, key: str) -> Layered:
    """One quantity of the whole shared vector at every diagnosed step, as one column."""
    return np.array([row[key] for row in run.diagnostics if row.get(key) is not None], dtype=float)[:, None]


def over_training(
    group: Sequence[Run], get: Callable[[Run], Layered], parts: int
) -> Float64[np.ndarray, "seeds parts layers"]:
    """Means over at most `parts` parts of training of equal length, by seed."""
    series = [get(run) for run in group]
    parts = min(parts, *(len(each) for each in series))
    return np.array([[part.mean(axis=0) for part in np.array_split(each, parts)] for each in series])


def random_sd(run: Run) -> Float64[np.ndarray, " layers"]:
    """Of the mean cosine over pairs of tasks, for random directions in each layer."""
    assert run.observed is not None
    K = len(run.tasks)
    return np.sqrt(2.0 / (K * (K - 1) * np.array(run.observed["sizes"], dtype=float)))


def layers(group: Sequence[Run]) -> list[Layer]:
    """Every layer of one line."""
    assert group[0].observed is not None
    band = -2.0 * random_sd(group[0])
    cosine = _means(group, partial(values, key=COSINE))
    below = _means(group, lambda run: (values(run, COSINE) < band).astype(float))
    tested = _means(group, excess) if has_null(group) else cosine
    similarity = _means(group, partial(values, key=SIMILARITY))
    thirds = over_training(group, partial(values, key=CURVATURE), 3)
    compared = compare({str(i): column.tolist() for i, column in enumerate(tested.T)})
    return [
        Layer(
            name, int(group[0].observed["sizes"][i]), _summary(cosine, i), _summary(below, i), compared[str(i)],
            _summary(similarity, i), _summary(thirds[:, 0], i), _summary(thirds[:, -1], i),
        )
        for i, name in enumerate(names(group))
    ]  # fmt: skip


ACTIVITY = ("conflict_share", "mean_cosine", "magnitude_similarity", "deviation", "worst_alignment")


def activity(group: Sequence[Run]) -> dict[str, Summary]:
    """Means of the diagnostics over training, over seeds; only of those that were recorded."""
    found = {}
    for key in ACTIVITY:
        kept = [[row[key] for row in run.diagnostics if row.get(key) is not None] for run in group]
        if means := [float(np.mean(values)) for values in kept if values]:
            found[key] = summarise(means)
    return found


def conflicting(found: Sequence[Layer]) -> list[str]:
    """The layers that lie below their null."""
    return [layer.name for layer in found if layer.tested.separates() and layer.tested.difference.mean < 0]


def _means(group: Sequence[Run], get: Callable[[Run], Layered]) -> Float64[np.ndarray, "seeds layers"]:
    return np.array([get(run).mean(axis=0) for run in group])


def _summary(rows: Float64[np.ndarray, "seeds layers"], index: int) -> Summary:
    return summarise(rows[:, index].tolist())
