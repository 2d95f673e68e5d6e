"""Gradient surgery in a loop of accelerate: one function in the place of `accelerator.backward(loss)`."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from gradsurgery.core.surgery import GradientSurgery
from gradsurgery.integrations.micro_batches import differentiate


def backward(accelerator: Any, surgery: GradientSurgery, losses: Any, model: nn.Module) -> None:
    """Differentiates the K losses of a batch and, when gradients are due, puts the direction into `.grad`.

        with accelerator.accumulate(model):
            backward(accelerator, surgery, losses_of(model, batch), model)
            optimizer.step()
            optimizer.zero_grad()

    Accumulation and loss scaling are the accelerator's. A step whose losses or gradients are not finite is left out.
    In several processes do not give the model to `accelerator.prepare`, which wraps it, but move it to
    `accelerator.device`; the engine averages task gradients over processes itself.

    Args:
        accelerator: an `accelerate.Accelerator`.
        surgery: the engine.
        losses: of the K tasks, as `GradientSurgery.backward` takes them, undivided.
        model: whose parameters the optimiser steps.
    """
    scaler, count = accelerator.scaler, accelerator.gradient_accumulation_steps

    def share(loss: Tensor | None) -> Tensor | None:
        if loss is None:
            return None
        return loss / count if scaler is None else scaler.scale(loss / count)

    named = isinstance(losses, Mapping)
    shares = {name: share(loss) for name, loss in losses.items()} if named else [share(loss) for loss in losses]
    differentiate(surgery, shares, model.parameters(), last=accelerator.sync_gradients, scaler=scaler)
