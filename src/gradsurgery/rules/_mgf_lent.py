"""A network that is run on other tensors than its own: parameters in the making, buffers that must not change."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from gradsurgery.core.interfaces import Network, Problem

Tensors = dict[str, Tensor]


class LentLosses(nn.Module):
    """The problem's losses as a module, so that `functional_call` can put other tensors into the network inside it."""

    def __init__(self, problem: Problem, network: Network):
        super().__init__()
        self.problem = problem
        self.network = network

    def forward(self, batch: Any) -> Sequence[Tensor | None]:
        return self.problem.losses(self.network, batch)


class RawAgain:
    """Forward hook: after a module's first call in a pass its weight is the raw parameter again."""

    def __init__(self, weight: nn.Parameter):
        self.weight = weight

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        module._parameters["weight"] = self.weight


def trainable(network: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that are trained, by name."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def copied(network: nn.Module) -> Tensors:
    """The buffers as they are now, by name."""
    return {name: buffer.detach().clone() for name, buffer in network.named_buffers()}


def put(network: nn.Module, buffers: Tensors) -> None:
    """Writes into the buffers what `copied` gave."""
    for name, buffer in network.named_buffers():
        buffer.copy_(buffers[name])
