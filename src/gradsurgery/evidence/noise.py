"""What drawing the test set can move a number by: the spread over test examples, of one line or of two on the same.

All seeds share one test set, so that repeats over seeds neither average this out nor show it. What an example
contributes (`core/examples.py`) is averaged over the seeds first, as examples and seeds are crossed; its spread over
examples is then McNemar's for a difference of accuracies, DeLong's for one of areas under curves, and that of a paired
mean for errors.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtri

from gradsurgery.core.examples import Contributions

Seeds = Sequence[Mapping[str, Contributions]]  # of every seed the contributions to each metric
_HALF = float(ndtri(0.975))


def half_width(mine: Seeds, theirs: Seeds, names: Sequence[str], together: bool) -> float | None:
    """Half of the 95 % interval over test examples of a mean over metrics, or of the difference of two.

    Args:
        mine: one line's contributions; the same seeds as `theirs`, in the same order.
        theirs: those of the line that is taken away; empty for the noise of `mine` by itself.
        names: the metrics that are averaged.
        together: whether they are measured on the same examples, whose contributions then go together; if not, every
            metric has examples of its own.

    Returns:
        None where a seed lacks the contributions, or where two lines were not tested on the same examples.
    """
    everyone = [*mine, *theirs]
    if not mine or any(name not in own for own in everyone for name in names):
        return None
    if any(own[name].cells != mine[0][name].cells for own in everyone for name in names):
        return None
    pulls, shares = [_pulls(name, mine, theirs) for name in names], [_shares(mine[0][name]) for name in names]
    if together:
        pulls, shares = [np.sum(pulls, axis=0)], shares[:1]
    variance = sum(float(share @ pull**2) for share, pull in zip(shares, pulls, strict=True))
    return _HALF * variance**0.5 / len(names)


def _shares(found: Contributions) -> Float64[np.ndarray, " kept"]:
    """How many examples each one stands for that is kept."""
    return np.concatenate([np.full(kept, of / kept) for of, kept, _ in found.cells])


def _mean(name: str, seeds: Seeds) -> Float64[np.ndarray, " kept"]:
    return np.asarray(np.mean([own[name].values for own in seeds], axis=0, dtype=np.float64))


def _pulls(name: str, mine: Seeds, theirs: Seeds) -> Float64[np.ndarray, " kept"]:
    """How far each example pulls the metric from its mean: the squares of these add up to the metric's variance."""
    values = _mean(name, mine) - _mean(name, theirs) if theirs else _mean(name, mine)
    cells, shares = mine[0][name].cells, _shares(mine[0][name])
    strata = np.concatenate([np.full(kept, stratum) for _, kept, stratum in cells])
    pulls = np.zeros(len(values))
    for stratum in np.unique(strata):
        rows = strata == stratum
        size, kept = shares[rows].sum(), int(rows.sum())
        centred = values[rows] - shares[rows] @ values[rows] / size
        pulls[rows] = centred / size * (kept / max(kept - 1, 1)) ** 0.5
    return pulls
