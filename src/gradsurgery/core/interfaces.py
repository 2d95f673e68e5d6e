"""The contracts of the house. Notation, used everywhere and nowhere redefined:

    K   number of tasks
    P   number of shared parameters (a shared parameter is one that more than one task trains)
    J   (K, P) Jacobian: row k is the gradient g_k of task k's loss on the shared parameters
    G   (K, K) Gram matrix J J^T, in float64
    w   (K,)   weights, so that the direction is d = J^T w
    d   (P,)   the direction that stands in for the gradient: the optimiser steps along -d
    g0  (P,)   the mean gradient, (1/K) sum_k g_k

A method is a frozen dataclass whose fields are its hyper-parameters. It keeps nothing between calls: state goes in and
comes out, `None` means first call, and whoever calls (`GradientSurgery`, a rule) stores and checkpoints it. State is a
dictionary of arrays, tensors, numbers and texts, or of lists and dictionaries of them; every entry that is a plain
`float` is logged as `method.<key>`. A method is called with finite gradients only, and with those of the tasks that are
there: K may fall from call to call where a loss was None, and `PerTask` says what then becomes of memory by task.
Randomness comes only from the generator that is handed in, never from a global one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.finite import of_finite

State = dict[str, Any]
Metrics = dict[str, float]


class Scalarization(ABC):
    """A direction that is one constant times the summed gradient, so that a single backward pass gives it."""

    @abstractmethod
    def scale(self, num_tasks: int) -> float:
        """The constant c of d = c * sum_k g_k."""


class Weighting(ABC):
    """A direction d = J^T w whose weights depend on the task gradients only through their Gram matrix.

    Whatever a subclass does in `__call__`, it is never handed a `G` that is not finite: the call raises NotFinite.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__call__" in vars(cls):
            cls.__call__ = of_finite(cls.__call__)  # type: ignore[method-assign]

    @abstractmethod
    def __call__(
        self, G: Float64[np.ndarray, "K K"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float64[np.ndarray, " K"], State]:
        """Weights for the Gram matrix `G` (K, K), with the state for the next call."""


class Aggregator(ABC):
    """A direction computed from the whole Jacobian. Works in J's dtype and on J's device; must not change J."""

    @abstractmethod
    def __call__(
        self, J: Float[Tensor, "K P"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float[Tensor, " P"], State]:
        """Direction for the task gradients `J` (K, P), with the state for the next call."""


Method = Scalarization | Weighting | Aggregator  # beside one of them: `core/memory.py`

Parameters = Mapping[str, nn.Parameter]
Losses = Sequence[Float[Tensor, ""] | None]  # of the K tasks; None for one that has no example in this batch


class Balancer(ABC):
    """Turns the K task losses into the K losses that are differentiated: loss weighting, before any surgery.

    It acts on whole losses, so task-specific parameters feel it too. That is what sets it apart from a `Weighting`.

    A loss that is None stays None, the others are balanced as if that task did not exist, and what is remembered of it
    waits. State goes in and comes out, and what went in is left as it was.

    Attributes:
        neutral: whether it leaves every loss as it is.
    """

    neutral: ClassVar[bool] = False

    def check(self, num_tasks: int) -> None:  # noqa: B027 - most balancers take any number
        """Refuses a number of tasks that this balancer is not made for. Raises ValueError."""

    def trained(self, num_tasks: int) -> Sequence[int]:
        """The tasks that a run answers for: all of them, unless it drops some."""
        return range(num_tasks)

    def parameters(self, num_tasks: int) -> dict[str, nn.Parameter]:
        """Trainable quantities (such as log-variances), by name; none for most. The optimiser steps them too.

        One per task where it belongs to a task, so that an absent task's gets no gradient and stays where it is.
        """
        return {}

    @abstractmethod
    def __call__(
        self, losses: Losses, parameters: Parameters, state: State | None, generator: np.random.Generator
    ) -> tuple[Losses, State]:
        """Balanced losses (differentiable), with the state for the next call."""

    def end_epoch(self, losses: Float64[np.ndarray, " K"], state: State | None) -> State:
        """Told the mean training loss of each task after every epoch, for rules such as DWA that live on that scale.

        NaN for a task that had no loss in the epoch, or none that was finite.
        """
        return state or {}


class LossWeighting(Balancer):
    """A balancer that multiplies each loss by a number: L_k -> w_k L_k."""

    @abstractmethod
    def weigh(self, losses: Losses, state: State, generator: np.random.Generator) -> tuple[Sequence[float], State]:
        """One weight for each task that is there, in order, with the state for the next call; at first {} goes in."""

    def __call__(
        self, losses: Losses, parameters: Parameters, state: State | None, generator: np.random.Generator
    ) -> tuple[Losses, State]:
        found, after = self.weigh(losses, state or {}, generator)
        shares = iter(found)
        return [None if loss is None else next(shares) * loss for loss in losses], after


class Network(nn.Module, ABC):
    """A multi-task network: some parameters are shared by the tasks, the others belong to one task each."""

    @abstractmethod
    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """One output per task, in the problem's task order."""

    @abstractmethod
    def shared_parameters(self) -> list[nn.Parameter]:
        """The parameters whose task gradients are the rows of J, in a fixed order."""


class ModelTransform(ABC):
    """Rewrites a network before training starts, from evidence that an earlier experiment left (Recon)."""

    @abstractmethod
    def check(self, build: Callable[[], Network]) -> None:
        """Refuses, before any work and without evidence, what cannot be trained.

        Args:
            build: makes a network of the kind that will be handed in; called only by a transform that looks at one.
        """

    @abstractmethod
    def __call__(self, network: Network, evidence: Mapping[str, Any] | None, generator: np.random.Generator) -> Network:
        """The network to train; the one handed in is left as it was. Whatever is drawn comes from `generator`."""


class Problem(ABC):
    """What is held fixed when methods are compared: data, network, losses, metrics, optimiser, schedule, clipping.

    Attributes:
        tasks: names of the K tasks, in the order of the network's outputs and of J's rows.
        metrics: `<task>.<metric>` -> True where higher is better; the order is the column order of every table.
        epochs: number of epochs a run lasts.
        clip: largest norm of the whole gradient, the same for every method, or None.
        test_rows: examples behind every test metric, by task where each has examples of its own; None without data.
    """

    tasks: tuple[str, ...]
    metrics: Mapping[str, bool]
    epochs: int
    clip: float | None
    test_rows: int | Mapping[str, int] | None = None

    @abstractmethod
    def network(self, generator: torch.Generator) -> Network:
        """A freshly initialised network; `generator` ("init") is the only source of randomness."""

    @abstractmethod
    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer: ...

    @abstractmethod
    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        """Stepped once per epoch."""

    @abstractmethod
    def batches(self, order: np.random.Generator, augmentation: np.random.Generator) -> Iterator[Any]:
        """One epoch of training batches. The sequence depends on the two generators alone."""

    @abstractmethod
    def losses(self, network: Network, batch: Any) -> Sequence[Float[Tensor, ""] | None]:
        """The K task losses of one batch, from one forward pass; None for a task that has no example in it."""

    @abstractmethod
    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Every metric of `metrics` and `<task>.loss`, on the split "val" or "test"."""
