"""Weighting methods in the manner of LibMTL, which take losses and write `.grad`, as functions of J."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class FromLibMTL:
    """A LibMTL weighting as J -> d: it is fed the losses L_k = 1 + <J_k, theta> at theta = 0, whose gradients J holds.

    What it asks of its trainer is one shared parameter, `theta`. One object of the weighting lives as long as the
    number of tasks stays the same, so that what it remembers is remembered.

    Args:
        weighting: the class, such as `LibMTL.weighting.PCGrad`.
        options: what its `backward` is called with, such as `calpha=0.5`.
    """

    def __init__(self, weighting: type[nn.Module], **options: Any) -> None:
        self._class, self._options = weighting, options
        self._made: Any = None

    def __call__(self, J: Float[Tensor, "K P"]) -> Float[Tensor, " P"]:
        if self._made is None or self._made.task_num != len(J):
            self._made = _fed(self._class, len(J))
        theta = nn.Parameter(torch.zeros_like(J[0]))
        theta.grad = torch.zeros_like(theta)  # it writes into `.grad`, which must be there
        self._made.theta = theta
        with torch.enable_grad():
            self._made.backward(1.0 + J.detach() @ theta, **self._options)
        d: Tensor = theta.grad
        return d.detach()


def _fed(weighting: type[Any], num_tasks: int) -> Any:
    class Fed(weighting):
        theta: nn.Parameter

        def get_share_params(self) -> Sequence[nn.Parameter]:
            return [self.theta]

        def zero_grad_share_params(self) -> None:
            self.theta.grad = torch.zeros_like(self.theta)

    made = Fed()
    made.task_num, made.task_name = num_tasks, [str(task) for task in range(num_tasks)]
    made.device, made.rep_grad = torch.device("cpu"), False
    made.init_param()
    return made
