"""What a direction may promise: every property by name, with what it says, its tolerance and how far it is missed.

A check returns the violation for one J (K, P): 0 where the property holds, in the unit that `tolerance` is given in. It
raises Missed where no number says how far, and Absent where the property says nothing about the method.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gradsurgery.certify import matrices
from gradsurgery.certify.measure import apart, same_law, size, turned
from gradsurgery.certify.subject import Subject


class Absent(Exception):
    """Why a property says nothing about this method."""


class Missed(Exception):
    """How a property is missed where no number says by how much."""


@dataclass(frozen=True)
class Property:
    """One promise.

    Attributes:
        name: what a claim calls it.
        says: what holds, in one line.
        check: the violation at J.
        matrices: the gradients to search.
        tolerance: largest violation that is rounding, in float64; 0 for what holds to the bit.
        single: the same in float32, for a method that computes in it.
        share: of the J that others are tried on, for a check that takes much longer.
    """

    name: str
    says: str
    check: Callable[[Subject, Tensor], float]
    matrices: matrices.Matrices
    tolerance: float = 1e-6
    single: float = 1e-3
    share: float = 1.0


def _shape(subject: Subject, J: Tensor) -> float:
    d = subject.direction(J)
    return float(d.shape != J.shape[1:] or not torch.isfinite(d).all() or d.requires_grad)


def _input_kept(subject: Subject, J: Tensor) -> float:
    given = J.clone()
    subject.direction(given)
    return float((given - J).abs().max())


def _deterministic(subject: Subject, J: Tensor) -> float:
    return apart(subject.direction(J, seed=3), subject.direction(J, seed=3), size(J))


def _one_task(subject: Subject, J: Tensor) -> float:
    return turned(subject.direction(J), J[0], size(J))


def _alike(subject: Subject, J: Tensor) -> float:
    return turned(subject.direction(J[:1].repeat(len(J), 1)), J[0], size(J))


def _duplicates(subject: Subject, J: Tensor) -> float:
    return same_law(subject, J.repeat(2, 1), subject, J, lengths=False)


def _permutation(subject: Subject, J: Tensor) -> float:
    """Reversed and rolled, which together make every order of up to three tasks reachable."""
    return max(same_law(subject, other, subject, J) for other in (J.flip(0), J.roll(1, 0)))


def _homogeneous(subject: Subject, J: Tensor) -> float:
    d = subject.direction(J)
    return max(apart(subject.direction(c * J) / c, d, size(J)) for c in (0.001, 1.0 / 3.0, 1000.0))


def _linear_scaling(subject: Subject, J: Tensor) -> float:
    one = 1.0 + torch.arange(len(J), dtype=J.dtype)[:, None]
    two = 1.0 / one.flip(0)
    parts = subject.direction(one * J).double() + subject.direction(two * J).double()
    return apart(subject.direction((one + two) * J), parts, size(J))


def _zero_rows(subject: Subject, J: Tensor) -> float:
    silent = J.clone()
    silent[0] = 0.0
    found = [subject.direction(silent), subject.direction(torch.zeros_like(J))]
    return float("inf") if not all(bool(torch.isfinite(d).all()) for d in found) else float(found[1].abs().max())


def _zero_task(subject: Subject, J: Tensor) -> float:
    return same_law(subject, torch.cat([J, torch.zeros_like(J[:1])]), subject, J, lengths=False)


def conflict(J: Tensor, d: Tensor, floor: float) -> float:
    """How much d opposes the gradient that it serves worst: the cosine's size, with |d| no smaller than `floor`."""
    J, d = J.double(), d.double()
    lengths = J.norm(dim=1)
    if not torch.isfinite(d).all():
        return float("inf")
    J, lengths = J[lengths > 0.0], lengths[lengths > 0.0]
    longest = max(float(d.norm()), floor)
    return max(0.0, -float((J @ d / lengths).min()) / longest) if len(J) and longest > 0.0 else 0.0


def _non_conflict(subject: Subject, J: Tensor) -> float:
    return conflict(J, subject.direction(J), size(J))


def _mean_descent(subject: Subject, J: Tensor) -> float:
    return conflict(J.mean(dim=0, keepdim=True), subject.direction(J), size(J))


def _stationary(subject: Subject, J: Tensor) -> float:
    return apart(subject.direction(J), torch.zeros_like(J[0]), size(J)) * float(
        subject.direction(J).double().norm() > 0
    )


def _in_span(subject: Subject, J: Tensor) -> float:
    d, rows = subject.direction(J).double(), J.double()
    if not torch.isfinite(d).all():  # LAPACK would print a line for each
        return math.inf
    w = torch.linalg.lstsq(rows.T, d[:, None], driver="gelsd").solution
    return apart((rows.T @ w)[:, 0], d, size(J))


def _weights(subject: Subject, J: Tensor) -> float:
    session = subject.fresh()
    session(J)
    if session.weights is None:
        raise Absent("exposes no weights")
    w = np.asarray(session.weights)
    return float(max(0.0, -w.min()) / max(np.abs(w).max(), 1e-300))


PROPERTIES = (
    Property("shape", "d is (P,), finite, and carries no graph", _shape, matrices.moving_rows, 0.0, 0.0),
    Property("input_kept", "J is left as it was", _input_kept, matrices.any_rows, 0.0, 0.0),
    Property("deterministic", "the same seed gives the same bits", _deterministic, matrices.any_rows, 0.0, 0.0),
    Property("one_task", "K = 1: d points along the gradient", _one_task, matrices.one_row),
    Property("alike", "K equal gradients: d points along them", _alike, matrices.moving_rows),
    Property("duplicates", "having every task twice does not turn d", _duplicates, matrices.half_of_the_rows),
    Property("permutation", "the order of the tasks does not matter (in law, for a method that draws)",
             _permutation, matrices.any_rows),
    Property("homogeneous", "d(c J) = c d(J) for c > 0", _homogeneous, matrices.any_rows),
    Property("linear_scaling", "d(diag(a) J) + d(diag(b) J) = d(diag(a + b) J) for positive a, b",
             _linear_scaling, matrices.any_rows),
    Property("zero_rows", "d is finite where gradients are zero, and 0 where all are", _zero_rows, matrices.any_rows),
    Property("zero_task", "one more task without a gradient does not turn d", _zero_task, matrices.all_but_one),
    Property("non_conflict", "<g_k, d> >= 0 for every task", _non_conflict, matrices.any_rows),
    Property("mean_descent", "<g0, d> >= 0: the mean loss does not rise", _mean_descent, matrices.any_rows),
    Property("stationary", "d = 0 where zero is in the hull of the gradients, inside it", _stationary,
             matrices.stationary_rows),
    Property("in_span", "d is a combination of the gradients", _in_span, matrices.any_rows),
    Property("weights", "the weights that it exposes are not negative", _weights, matrices.any_rows),
)  # fmt: skip
