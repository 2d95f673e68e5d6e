"""What a network or a problem may offer beside its interface, for the rules that need more than that.

A rule asks for one of these classes, never for a certain network or problem, and refuses what lacks it before any work.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from gradsurgery.core.interfaces import Network


class Towers:
    """Beside `Network`: it has towers, between which a rule may route gradients.

    Attributes:
        towers: one for each task, in task order; or two for the first task, T'_1, T''_1, T_2, ..
        mu: weights of the first task's two towers, a buffer that the rule may move; None where it has one tower.
    """

    towers: nn.ModuleList
    mu: Tensor | None


def towers_of(network: Network, rule: str) -> Towers:
    """The same network. Raises ValueError, naming the rule, for one without towers."""
    if not isinstance(network, Towers):
        found = type(network).__name__
        raise ValueError(f"rule `{rule}` must be given a network with towers, such as `recommender`, found {found}.")
    return network


class Columns:
    """Beside `Network`: it reads rows of a table, the numbers first, then the categories.

    Attributes:
        num_continuous: how many numbers.
        cardinalities: number of values of each category.
    """

    num_continuous: int
    cardinalities: Sequence[int]


class Indivisible:
    """Beside `Problem`: its `losses` move more than statistics of a batch, so that no process may see a part only."""


class Points:
    """Beside `Network`: it is S points in the plane and nothing else.

    Attributes:
        theta: the points, (S, 2) in float64.
    """

    theta: nn.Parameter


class ClosedForm(ABC):
    """Beside `Problem`: two losses over the plane, known in closed form, for a network that is `Points`.

    Attributes:
        steps: how many steps a run takes, over all its epochs.
    """

    steps: int

    @abstractmethod
    def jacobian(
        self, theta: Float64[np.ndarray, "S 2"]
    ) -> tuple[Float64[np.ndarray, "2 S"], Float64[np.ndarray, "S 2 2"]]:
        """Losses (K, S) and every point's own task gradients (S, K, 2)."""

    @abstractmethod
    def solved(self, theta: Float64[np.ndarray, "S 2"], losses: Float64[np.ndarray, "2 S"]) -> Bool[np.ndarray, " S"]:
        """Which points have arrived."""


@runtime_checkable
class Trunk(Protocol):
    """A network whose tasks share nothing but the output of one module, called in the forward pass.

    Attributes:
        trunk: it.
    """

    trunk: nn.Module


def watched(network: Network) -> list[Tensor]:
    """What its trunk gives, pass by pass, where gradients are wanted; to be cleared before a pass.

    Raises ValueError for a network without one.
    """
    if not isinstance(network, Trunk):
        found = type(network).__name__
        raise ValueError(f"`gradients` must not be 'representation' for a network without a `trunk`, found {found}.")
    given: list[Tensor] = []

    def take(_module: nn.Module, _inputs: Any, output: Any) -> None:
        tensors = [output] if isinstance(output, Tensor) else output
        given.extend(z for z in tensors if isinstance(z, Tensor) and z.requires_grad)

    network.trunk.register_forward_hook(take)
    return given
