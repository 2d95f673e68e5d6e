"""Policy and action values for several tasks that share less than a one-hot task does: heads, an encoder, nothing."""

import copy
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gradsurgery.networks.actor_critic import ActorCritic

_CODE = 50  # units of the encoder


class TaskActorCritic(ActorCritic):
    """Soft actor-critic's networks with a last layer for every task, an encoding of the task, or all for every task.

    Source: the rows "multi-head SAC", "MT-SAC + task encoder" and "one SAC a task" of Meta-World's tables in CAGrad
    (arXiv 2110.14048, section 5.3) and SAM-GS (arXiv 2506.06130), by MTRL's names.

        heads      the shared layers read the observation; each task has its own last layer
        encoder    a perceptron of 50 units turns the one-hot task into 50 numbers, which stand beside the observation
        separate   each task has all layers to itself

    All rows of a batch are of one task, whose layers are those of its first row.

    Args:
        num_tasks, observations, actions, width, depth, temperature: as for `actor_critic`.
        variant: "heads", "encoder" or "separate".

    Attributes: those of `actor_critic`.

    Departures:
        1. Sizes of the encoder are MTRL's; what else its rows have beside, such as a state encoder, is not printed.
        2. The parameters of "separate" are listed as shared, though none is: for the summed gradient this is
           independent training with any optimiser that treats parameters one by one, as long as nothing is clipped.
    """

    def __init__(
        self,
        num_tasks: int,
        observations: int,
        actions: int,
        width: int = 400,
        depth: int = 3,
        temperature: float = 1.0,
        variant: Literal["heads", "encoder", "separate"] = "heads",
    ) -> None:
        super().__init__(num_tasks, observations, actions, width, depth, temperature)
        if variant not in ("heads", "encoder", "separate"):
            raise ValueError(f"`variant` must be 'heads', 'encoder' or 'separate', found variant = {variant!r}.")
        self.actor = _Told(variant, num_tasks, observations, 0, 2 * actions, width, depth)
        self.critics = nn.ModuleList(
            _Told(variant, num_tasks, observations, actions, 1, width, depth) for _ in self.targets
        )
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)


class _Told(nn.Module):
    """A perceptron on an observation, the one-hot task behind it, and an action behind that."""

    def __init__(
        self, variant: str, num_tasks: int, observations: int, actions: int, outputs: int, width: int, depth: int
    ):
        super().__init__()
        self.sizes = [observations, num_tasks, actions]
        self.encoder = (
            nn.Sequential(nn.Linear(num_tasks, _CODE), nn.ReLU(), nn.Linear(_CODE, _CODE))
            if variant == "encoder"
            else None
        )
        first = observations + actions + (_CODE if variant == "encoder" else 0)
        layers = [*zip((first, *(depth - 1) * (width,)), depth * (width,), strict=True), (width, outputs)]
        own = {"heads": 1, "encoder": 0, "separate": depth + 1}[variant]  # of the last layers
        self.layers = nn.ModuleList(
            _OfTask(num_tasks, *each) if depth + 1 - place <= own else nn.Linear(*each)
            for place, each in enumerate(layers)
        )

    def forward(self, inputs: Float[Tensor, "*some batch inputs"]) -> Float[Tensor, "*some batch outputs"]:
        seen, task, action = inputs.split(self.sizes, dim=-1)
        x = torch.cat([seen, action, *([self.encoder(task)] if self.encoder is not None else [])], dim=-1)
        which = task[..., 0, :].argmax(dim=-1)
        for place, layer in enumerate(self.layers):
            x = x if place == 0 else x.relu()
            x = layer(x, which) if isinstance(layer, _OfTask) else layer(x)
        return x


class _OfTask(nn.Module):
    """A linear layer for every task, drawn as torch's."""

    def __init__(self, num_tasks: int, before: int, after: int):
        super().__init__()
        bound = before**-0.5
        self.weight = nn.Parameter(torch.empty(num_tasks, before, after).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_tasks, after).uniform_(-bound, bound))

    def forward(self, inputs: Float[Tensor, "*some batch before"], which: Tensor) -> Float[Tensor, "*some batch after"]:
        # Not `weight[which]`: the host would wait for a single task's number.
        weight, bias = (own.index_select(0, which.reshape(-1)) for own in (self.weight, self.bias))
        product: Tensor = inputs @ weight.view(*which.shape, *weight.shape[1:])
        return product + bias.view(*which.shape, 1, bias.shape[1])
