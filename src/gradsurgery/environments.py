"""What a problem and a network offer beside their interfaces to a rule that learns from acting, such as `sac`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.settings import check


class Environments(ABC):
    """One environment a task, in all of which is acted at the same time, in episodes of one length.

    Nothing ends an episode but time, and what came before it leaves no trace: between episodes there is no state.

    Attributes:
        tasks: their names.
        observations: numbers in an observation, O.
        actions: numbers in an action, A, each from -1 to 1.
        horizon: steps of an episode.
    """

    tasks: Sequence[str]
    observations: int
    actions: int
    horizon: int

    @abstractmethod
    def start(self, goals: Float64[np.ndarray, "K goal"]) -> Float32[np.ndarray, "K O"]:
        """Begins an episode of every task with a goal of its own; what is seen then."""

    @abstractmethod
    def advance(
        self, actions: Float32[np.ndarray, "K A"]
    ) -> tuple[Float32[np.ndarray, "K O"], Float32[np.ndarray, " K"], Float32[np.ndarray, " K"]]:
        """A step of every task: what is seen then, its reward, and 1 where that is a success, else 0."""


@dataclass(frozen=True, kw_only=True)
class Practice:
    """How much is learned from how much acting.

    Args:
        batch_size: transitions of each task in an update.
        warmup: steps of each task that act at random, before the first update.
        every: steps of each task between two updates.
        capacity: transitions of each task that are kept, in whole episodes.
        reward_scale: factor on rewards.
        diagnose_every: updates from one whose gradients are diagnosed to the next; the first one is.
    """

    batch_size: int = 128
    warmup: int = 1500
    every: int = 1
    capacity: int = 100_000
    reward_scale: float = 1.0
    diagnose_every: int = 1000

    def __post_init__(self) -> None:
        counts = ("batch_size", "warmup", "every", "capacity", "diagnose_every")
        check({name: (getattr(self, name), 1) for name in counts}, {"reward_scale": self.reward_scale})


class Acting:
    """Beside `Problem`: its tasks are to be acted in, and each of its `batches` is a goal for every task."""

    environments: Environments
    practice: Practice


class Actor(ABC):
    """Beside `Network`: a policy, two action values with slow copies, a temperature a task.

    Attributes:
        actor: holds the policy's parameters.
        critics: holds those of the action values.
        log_alpha: (K,), logarithms of the temperatures.
    """

    actor: nn.Module
    critics: nn.ModuleList
    log_alpha: nn.Parameter

    @abstractmethod
    def told(self, observations: Float[Tensor, "K batch O"]) -> Float[Tensor, "K batch inputs"]:
        """Observations with their task behind them: what the following methods read."""

    @abstractmethod
    def policy(
        self, inputs: Float[Tensor, "*some inputs"], noise: Float[Tensor, "*some A"]
    ) -> tuple[Float[Tensor, "*some A"], Float[Tensor, "*some"]]:
        """Actions in (-1, 1) from standard normal noise, and the logarithms of their densities."""

    @abstractmethod
    def values(
        self, inputs: Float[Tensor, "*some inputs"], actions: Float[Tensor, "*some A"]
    ) -> Float[Tensor, "*critics_and_some"]:
        """Both action values."""

    @abstractmethod
    def slow_value(
        self, inputs: Float[Tensor, "*some inputs"], actions: Float[Tensor, "*some A"]
    ) -> Float[Tensor, "*some"]:
        """The smaller one of the slow copies' action values."""

    @abstractmethod
    def follow(self, share: float) -> None:
        """Moves the slow copies by this share of the way to the action values."""


def acted_in(problem: Problem, rule: str) -> Acting:
    """The same problem. Raises ValueError, naming the rule, for one that is not acted in."""
    if not isinstance(problem, Acting):
        found = type(problem).__name__
        raise ValueError(f"rule `{rule}` must be given a problem to act in, such as `metaworld`, found {found}.")
    return problem


def actor_of(network: Network, rule: str) -> Actor:
    """The same network. Raises ValueError, naming the rule, for one that does not act."""
    if not isinstance(network, Actor):
        found = type(network).__name__
        raise ValueError(f"rule `{rule}` must be given a network that acts, such as `actor_critic`, found {found}.")
    return network
