"""One matrix of task gradients and no network: its direction by any method, and how far its tasks conflict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from gradsurgery.core.conflict import conflict_share, magnitude_similarity, mean_cosine
from gradsurgery.core.direction import Conductor
from gradsurgery.core.handed import FLOATS
from gradsurgery.core.interfaces import State
from gradsurgery.core.jacobian import gram
from gradsurgery.core.memory import Tensorwise
from gradsurgery.core.seeding import philox
from gradsurgery.methods import build


def aggregate(
    J: Any,
    method: Any,
    /,
    *,
    state: State | None = None,
    seed: int | np.random.Generator = 0,
    preset: str | None = None,
    **fields: Any,
) -> Any:
    """The direction d (P,) of the task gradients J (K, P).

    >>> aggregate([[1.0, 0.0], [-1.0, 1.0]], "pcgrad")
    array([0.5, 1.5])
    >>> aggregate(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]), "cagrad", c=0.4, rescale=0, scale_by_num_tasks=False)
    tensor([0.2000, 0.5000])

    Methods with memory are in their first call unless `state` is given, a dictionary that is read and then filled:

    >>> memory, J = {}, np.eye(2)
    >>> first, second = aggregate(J, "sam_gs", state=memory), aggregate(-J, "sam_gs", state=memory)
    >>> memory["t"]
    2

    Args:
        J: a tensor, or whatever numpy makes an array of; whole numbers become float64. Must be finite; not changed.
        method: what `build` takes.
        state: {} before a first call, the same dictionary before the next; None for a call by itself.
        seed: of the method's generator, or that generator itself, which then moves on from call to call.
        preset: as for `build`.
        fields: as for `build`.

    Returns:
        d in J's dtype: a tensor on J's device, or a numpy array where J is no tensor.

    Raises:
        ValueError: J is not finite or has no two axes, d is not finite, or as `build` does.
    """
    rows, built = _matrix("J", J), build(method, preset, **fields)
    if isinstance(built, Tensorwise) and built.tensorwise:
        raise ValueError(
            f"`method` must not ask for the parameter tensors behind J's columns, found {built!r}: "
            "`GradientSurgery` knows them."
        )
    conductor = Conductor(built, seed if isinstance(seed, np.random.Generator) else philox(seed, "method"))
    conductor.state = dict(state) if state else None
    d = torch.empty_like(rows[0])
    K = len(rows)
    if not conductor.direct(rows, d, list(range(K)), K, 1.0, False, None, ()):
        raise ValueError(f"`J` must be small enough for a finite direction, found a norm of {float(rows.norm()):.3g}.")
    if state is not None:
        state.clear()
        state.update(conductor.state or {})
    return d if isinstance(J, Tensor) else d.numpy()


@dataclass(frozen=True)
class Null:
    """The same numbers between different J of the same parameters, that is between different examples.

    Where `cross_task` does not lie below `same_task`, tasks conflict no more than examples do.

    Attributes:
        same_task: mean cosine of one task's gradients in two J.
        cross_task: mean cosine of two tasks' gradients, each from another J.
        same_task_conflicts: share of the former below zero.
        cross_task_conflicts: share of the latter below zero.
    """

    same_task: float
    cross_task: float
    same_task_conflicts: float
    cross_task_conflicts: float


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """How far task gradients conflict; of several J the mean over them. A zero gradient has cosine 0 to all.

    Attributes:
        cosines: (K, K), 1 on the diagonal.
        mean_cosine: over pairs of tasks.
        conflict_share: share of the pairs with a negative cosine.
        magnitude_similarity: 2 a b / (a^2 + b^2) of the lengths a and b, mean over pairs; 1 for equal lengths.
        random_sd: 1 / sqrt(P), the standard deviation of the cosine of two random directions.
        null: how gradients of different J agree; None with one J.
    """

    cosines: Float64[np.ndarray, "K K"]
    mean_cosine: float
    conflict_share: float
    magnitude_similarity: float
    random_sd: float
    null: Null | None = None


def diagnose(J: Any, *others: Any) -> Diagnosis:
    """Whether tasks conflict, and with more than one J whether they do so more than examples do.

    >>> found = diagnose([[3.0, 4.0], [-5.0, 0.0]])
    >>> found.conflict_share, round(found.mean_cosine, 6), found.magnitude_similarity
    (1.0, -0.6, 1.0)

    A conflict is a fact of a batch. J of two or more batches at the same parameters give the null for it:

    >>> rng = np.random.default_rng(0)
    >>> noise = diagnose(rng.normal(size=(2, 500)), rng.normal(size=(2, 500)))
    >>> abs(noise.null.cross_task) < 3 * noise.random_sd
    True

    Args:
        J: task gradients (K, P), as for `aggregate`.
        others: those of other batches, of the same shape, at the same parameters.
    """
    parts = [_matrix("J", J), *(_matrix(f"others[{i}]", other) for i, other in enumerate(others))]
    for i, other in enumerate(parts[1:]):
        if other.shape != parts[0].shape:
            raise ValueError(f"`others[{i}]` must have J's shape {tuple(parts[0].shape)}, found {tuple(other.shape)}.")
    K, P = parts[0].shape
    G = gram(torch.cat([part.to(parts[0]) for part in parts]))
    own = [G[b : b + K, b : b + K] for b in range(0, len(G), K)]
    return Diagnosis(
        cosines=np.mean([_cosines(block) for block in own], axis=0),
        mean_cosine=_mean([mean_cosine(block) for block in own]),
        conflict_share=_mean([conflict_share(block) for block in own]),
        magnitude_similarity=_mean([magnitude_similarity(block) for block in own]),
        random_sd=P**-0.5,
        null=_null(_cosines(G), K) if others else None,
    )


def _null(cosines: Float64[np.ndarray, "rows rows"], K: int) -> Null:
    """From the cosines of all rows of all J, one J after another."""
    batch, task = np.divmod(np.arange(len(cosines)), K)
    apart = batch[:, None] < batch
    same, cross = (cosines[apart & which] for which in (task[:, None] == task, task[:, None] != task))
    return Null(_mean(same), _mean(cross), _mean(same < 0), _mean(cross < 0))


def _cosines(G: Float64[np.ndarray, "K K"]) -> Float64[np.ndarray, "K K"]:
    norms = np.sqrt(G.diagonal())
    lengths = np.outer(norms, norms)
    cosines = np.divide(G, lengths, out=np.zeros_like(G), where=lengths > 0)
    np.fill_diagonal(cosines, 1.0)
    return cosines


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _matrix(name: str, given: Any) -> Tensor:
    """`given` as a finite tensor (K, P) that may share its memory."""
    try:
        array = given.detach() if isinstance(given, Tensor) else torch.from_numpy(_array(given))
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be a matrix of numbers, found {type(given).__name__}: {error}.") from None
    if array.ndim != 2 or not array.numel():
        raise ValueError(f"`{name}` must have K rows and P columns, found shape {tuple(array.shape)}.")
    if array.dtype not in FLOATS:
        array = array.double()
    if not bool(array.isfinite().all()):
        k = int((~array.isfinite().all(dim=1)).nonzero()[0])
        raise ValueError(f"`{name}` must be finite, found a number that is not in row {k}.")
    return array


def _array(given: Sequence[Any] | np.ndarray) -> np.ndarray:
    if isinstance(given, str | Mapping):
        raise TypeError("no rows of numbers")
    array = np.require(given, requirements=["C", "W"])  # torch warns of memory that it must not write into
    return array if array.dtype.kind == "f" and array.dtype.itemsize <= 8 else array.astype(np.float64)
