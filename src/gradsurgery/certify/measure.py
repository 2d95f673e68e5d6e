"""How far two directions are apart, in numbers that mean the same whatever the gradients' lengths.

Lengths are compared with |d|, or with the mean length of the gradients where that is larger: a direction that ought to
be zero is one up to rounding, and rounding is a share of what was added up.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gradsurgery.certify.subject import Subject

_DRAWS = 48  # directions behind a mean over a method's own draws
_SURE = 6.0  # standard errors that two such means may differ by


def size(J: Float[Tensor, "K P"]) -> float:
    """Mean length of the gradients that are not zero; 1 where all are."""
    lengths = torch.linalg.vector_norm(J.double(), dim=1)
    return float(lengths[lengths > 0.0].mean()) if (lengths > 0.0).any() else 1.0


def apart(d: Tensor, other: Tensor, unit: float) -> float:
    """|d - other| beside the longer of the two, or `unit`. Infinite where one is not finite."""
    d, other = d.double(), other.double()
    if not (torch.isfinite(d).all() and torch.isfinite(other).all()):
        return float("inf")
    longest = max(float(d.norm()), float(other.norm()), unit)
    return float((d - other).norm()) / longest


def turned(d: Tensor, other: Tensor, unit: float) -> float:
    """`apart`, after d was brought to the length of `other`: a positive factor is a convention."""
    length = float(d.double().norm())
    stretch = float(other.double().norm()) / length if length > 0.0 else 0.0
    return apart(d.double() * stretch, other, unit)


def draws(subject: Subject, J: Float[Tensor, "K P"]) -> bool:
    """Whether the direction depends on the seed."""
    first = subject.direction(J, seed=0)
    return any(
        not torch.allclose(first, subject.direction(J, seed=seed), rtol=0.0, atol=0.0, equal_nan=True)
        for seed in range(1, 5)
    )


def mean_direction(subject: Subject, J: Float[Tensor, "K P"]) -> tuple[Tensor, float]:
    """The mean over a method's draws, and how far from it another such mean may lie by chance; 0 where none are."""
    if not draws(subject, J):
        return subject.direction(J), 0.0
    sample = torch.stack([subject.direction(J, seed=seed) for seed in range(_DRAWS)]).double()
    return sample.mean(dim=0), _SURE * float(sample.var(dim=0).sum().div(_DRAWS).sqrt())


def same_law(subject: Subject, J: Tensor, other: Subject, K: Tensor, *, lengths: bool = True) -> float:
    """How far the mean direction of `subject` at J and of `other` at K are apart beyond chance."""
    (d, chance), (e, more) = mean_direction(subject, J), mean_direction(other, K)
    unit = size(J)
    found = apart(d, e, unit) if lengths else turned(d, e, unit)
    longest = max(float(d.double().norm()), float(e.double().norm()), unit)
    beyond = found - (chance**2 + more**2) ** 0.5 / longest
    return beyond if math.isnan(beyond) else max(0.0, beyond)  # max would make 0 of what is no number
