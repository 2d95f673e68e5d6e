"""Which task trains which parameter."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def owners(losses: Sequence[Float[Tensor, ""]], parameters: Mapping[str, nn.Parameter]) -> dict[str, tuple[int, ...]]:
    """A(p): for every parameter the tasks whose loss depends on it, also where the derivative happens to be zero."""
    found: dict[str, list[int]] = {name: [] for name in parameters}
    for k, loss in enumerate(losses):
        gradients = torch.autograd.grad(
            loss, list(parameters.values()), retain_graph=k < len(losses) - 1, allow_unused=True
        )
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                found[name].append(k)
    return {name: tuple(tasks) for name, tasks in found.items()}
