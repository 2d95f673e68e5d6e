"""Policy and action values of soft actor-critic for several tasks: multi-layer perceptrons that are told the task."""

import copy
import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from gradsurgery.core.interfaces import Network
from gradsurgery.core.settings import check, check_sizes
from gradsurgery.environments import Actor

_LOG_STD = (-20.0, 2.0)  # bounds of the policy's logarithmic standard deviation
_CRITICS = 2


class ActorCritic(Network, Actor):
    """A Gaussian policy squashed by tanh, two action values and their slow copies, and a temperature for each task.

    Inputs are an observation and the task one-hot, so that every weight of policy and values is shared by all tasks.
    Kaiming-uniform initialisation, as torch has it.

    Args:
        num_tasks: K.
        observations: numbers in an observation, O.
        actions: numbers in an action, A.
        width: units of a hidden layer.
        depth: number of hidden layers.
        temperature: what each begins at, relative to the scale of rewards.

    Attributes:
        one_hot: (K, K), the tasks.
        actor: (K + O) -> (2 A), means and logarithmic standard deviations.
        critics: two, (K + O + A) -> 1.
        targets: their slow copies, which no gradient reaches.
        log_alpha: (K,), logarithms of the temperatures.
    """

    one_hot: Tensor

    def __init__(
        self,
        num_tasks: int,
        observations: int,
        actions: int,
        width: int = 400,
        depth: int = 3,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        check_sizes({"num_tasks": (num_tasks, 1), "observations": (observations, 1), "actions": (actions, 1),
                     "width": (width, 1), "depth": (depth, 1)})  # fmt: skip
        check({}, {"temperature": temperature})
        told = observations + num_tasks
        self.actor = _perceptron(told, 2 * actions, width, depth)
        self.critics = nn.ModuleList(_perceptron(told + actions, 1, width, depth) for _ in range(_CRITICS))
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.full((num_tasks,), math.log(temperature)))
        self.register_buffer("one_hot", torch.eye(num_tasks), persistent=False)

    def forward(self, inputs: Float[Tensor, "K batch O"]) -> tuple[Tensor, ...]:
        """The most likely action (batch, A) of every task for its own observations."""
        means, _ = self.actor(self.told(inputs)).chunk(2, dim=-1)
        return tuple(means.tanh())

    def shared_parameters(self) -> list[nn.Parameter]:
        return [*self.actor.parameters(), *self.critics.parameters()]

    def told(self, observations: Float[Tensor, "K batch O"]) -> Float[Tensor, "K batch inputs"]:
        K, batch, _ = observations.shape
        return torch.cat([observations, self.one_hot[:, None].expand(K, batch, K)], dim=-1)

    def policy(
        self, inputs: Float[Tensor, "*some inputs"], noise: Float[Tensor, "*some A"]
    ) -> tuple[Float[Tensor, "*some A"], Float[Tensor, "*some"]]:
        means, log_std = self.actor(inputs).chunk(2, dim=-1)
        log_std = log_std.clamp(*_LOG_STD)
        before = means + log_std.exp() * noise
        density = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi)
        # log(1 - tanh(u)^2), written so that it is finite for every u
        squashed = 2.0 * (math.log(2.0) - before - softplus(-2.0 * before))
        return before.tanh(), (density - squashed).sum(dim=-1)

    def values(
        self, inputs: Float[Tensor, "*some inputs"], actions: Float[Tensor, "*some A"]
    ) -> Float[Tensor, "*critics_and_some"]:
        both = torch.cat([inputs, actions], dim=-1)
        return torch.stack([critic(both).squeeze(-1) for critic in self.critics])

    def slow_value(
        self, inputs: Float[Tensor, "*some inputs"], actions: Float[Tensor, "*some A"]
    ) -> Float[Tensor, "*some"]:
        both = torch.cat([inputs, actions], dim=-1)
        return torch.minimum(*(target(both).squeeze(-1) for target in self.targets))

    @torch.no_grad()
    def follow(self, share: float) -> None:
        torch._foreach_lerp_(list(self.targets.parameters()), list(self.critics.parameters()), share)


def _perceptron(inputs: int, outputs: int, width: int, depth: int) -> nn.Sequential:
    sizes = [inputs, *[width] * depth]
    hidden = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))
