"""What the loops of Lightning, transformers and accelerate have in common: a backward call for each micro-batch."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from gradsurgery.core.surgery import GradientSurgery


def differentiate(
    surgery: GradientSurgery, losses: Any, parameters: Iterable[Tensor], *, last: bool, scaler: Any = None
) -> None:
    """Differentiates one micro-batch's losses, and with the last of a step writes the direction into `.grad`.

    These loops step the optimiser whatever the engine says. So where it leaves a step out, because a number was not
    finite, no parameter is left with a gradient, and optimisers pass over all of them; with a `GradScaler` the
    gradients stay NaN, as that skips the step by itself and has to know.

    Args:
        surgery: the engine.
        losses: of the K tasks, divided by the number of micro-batches and times the scaler's factor.
        parameters: all that the optimiser steps.
        last: whether the optimiser steps after this micro-batch.
        scaler: the `GradScaler` whose factor is in the losses, or None.
    """
    surgery.accumulate(losses)
    if not last:
        return
    if not surgery.aggregate(1.0 if scaler is None else scaler.get_scale()) and scaler is None:
        for p in parameters:
            p.grad = None
