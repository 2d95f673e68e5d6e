"""How an epoch is run: the contract of a training rule, and what a rule sees of the run."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import nn

from gradsurgery.core.buffers import Buffers
from gradsurgery.core.interfaces import Balancer, Losses, Method, Metrics, Network, Problem, State
from gradsurgery.core.seeding import Generators


@runtime_checkable
class Run(Protocol):
    """A run as its rule sees it. A rule reads these attributes, acts by these calls, and writes into `rule_state` only.

    Attributes:
        problem: data, losses, schedule, clipping.
        network: what is trained.
        method: turns task gradients into the direction.
        balancer: turns task losses into balanced losses.
        balancer_parameters: what of it is trained, by name.
        optimizer: of the network's parameters and the balancer's.
        generators: the run's random streams.
        device: where the network lives.
        precision: "float32", "bfloat16" or "float16".
        buffers: those of the network, as they were when `keep` was called.
        rule_state: what the rule keeps between epochs; saved with the run. What is under "trajectory" goes into the
            history.
        epochs: one row per finished epoch.
        diagnostics: one row per diagnosed step.
        step_count: optimiser steps taken or skipped.
    """

    @property
    def problem(self) -> Problem: ...
    @property
    def network(self) -> Network: ...
    @property
    def method(self) -> Method: ...
    @property
    def balancer(self) -> Balancer: ...
    @property
    def balancer_parameters(self) -> Mapping[str, nn.Parameter]: ...
    @property
    def optimizer(self) -> torch.optim.Optimizer: ...
    @property
    def generators(self) -> Generators: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def precision(self) -> str: ...
    @property
    def buffers(self) -> Buffers: ...
    @property
    def rule_state(self) -> State: ...
    @property
    def epochs(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def diagnostics(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def step_count(self) -> int: ...

    def autocast(self) -> AbstractContextManager[Any]:
        """The run's precision, for a forward pass."""

    def balance(self, losses: Losses) -> Losses:
        """The balanced losses; the balancer's state moves on."""

    def step(self, *batches: Any, owners: Sequence[int] | None = None) -> Metrics:
        """One optimiser step on one batch or several; see `Learner.step`."""

    def count(self, seconds: float, *, steps: int = 1, skipped: int = 0, passes: int = 1) -> None:
        """Notes steps that the rule took, or skipped, by itself: how long they took, and backward passes of each."""

    def note(self, step: int, numbers: Metrics) -> None:
        """Diagnostics of a step: into that step's row, if it is the last one, or into a row of their own."""

    def report(self, numbers: Metrics) -> None:
        """What the rule did in a step, or in an epoch, 0 for nothing: into the means that are the run's activity."""


class TrainingRule(ABC):
    """How an epoch is run. `joint` is the ordinary loop; a rule may also own the network's extra parameters.

    Attributes:
        needs_every_task: whether a step cannot do without the loss of a task: such a batch is then refused.
        cpu_only: its work is done by numpy, so that a run of it lives on the CPU whatever device was asked for.
        divisible: it takes every step by `Run.step`, and several processes may then share the batches of a run.
    """

    needs_every_task = False
    cpu_only: ClassVar[bool] = False
    divisible: ClassVar[bool] = False

    @property
    def one_batch(self) -> bool:
        """Whether every step is `Run.step` with one batch."""
        return False

    def check(self, num_tasks: int) -> None:  # noqa: B027 - most rules take any number
        """Refuses, before any work, a number of tasks that it cannot train. Raises ValueError."""

    def attach(self, network: Network) -> Network:
        """Called once, before the optimiser is made; returns the network to train. Raises ValueError for one unfit."""
        return network

    @abstractmethod
    def epoch(self, run: Run, batches: Iterator[Any]) -> Iterator[Metrics]:
        """Trains for one epoch and yields metrics, step by step."""
