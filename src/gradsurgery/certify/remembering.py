"""Promises about what a method remembers from step to step."""

from collections.abc import Sequence

from torch import Tensor

from gradsurgery.certify import matrices
from gradsurgery.certify.measure import apart, draws, size
from gradsurgery.certify.properties import Absent, Property
from gradsurgery.certify.subject import Subject


def _steps(J: Tensor) -> Sequence[Tensor]:
    """Four batches of one training run: the last is J."""
    return [J.roll(1, 1) + J, 0.5 * J.flip(1), J.roll(1, 1) - 2.0 * J, J]


def _replay(subject: Subject, J: Tensor) -> float:
    one, two = subject.fresh(), subject.fresh()
    return max(apart(one(step.clone()), two(step.clone()), size(J)) for step in _steps(J))


def _resume(subject: Subject, J: Tensor) -> float:
    going = subject.fresh()
    *before, last = _steps(J)
    for step in before:
        going(step)
    resumed = going.resumed()
    worst = 0.0
    for step in (last, before[0]):
        worst = max(worst, apart(resumed(step.clone()), going(step.clone()), size(J)))
    return worst


def _memoryless(subject: Subject, J: Tensor) -> float:
    if draws(subject, J):
        raise Absent("draws, so that two runs differ anyhow")
    later, again = subject.fresh(), subject.fresh()
    for step in _steps(J)[:2]:
        later(step)
        again(J)
    return apart(later(J), again(J), size(J))


REMEMBERING = (
    Property("replay", "the same four steps give the same bits again", _replay, matrices.moving_rows, 0.0, 0.0),
    Property("resume", "a run resumed from its state (or state_dict) goes on to the same bits", _resume,
             matrices.moving_rows, 0.0, 0.0),
    Property("memoryless", "d does not depend on earlier steps", _memoryless, matrices.moving_rows),
)  # fmt: skip
