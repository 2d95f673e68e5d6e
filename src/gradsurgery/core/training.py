"""What nearly every problem with data has: settings of how much of it, how long and how fast, and what follows of them.

A problem's constructor takes one of the settings classes, with defaults of its own in a subclass; in a declaration the
fields of that stand beside the problem's others (`discovery.make`).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.settings import check, network_of


@dataclass(frozen=True, kw_only=True)
class Training:
    """Data and rate; Adam at a constant one.

    Args:
        epochs: passes over the training rows.
        batch_size: rows per step; the last, smaller batch of an epoch is left out.
        lr: learning rate.
        weight_decay: L2 penalty, or the decay of AdamW.
        train_size: number of training rows used, the first ones (they lie in random order); 0 means all.
        val_size: likewise for validation.
        test_size: likewise for the test set.
        clip: largest norm of the whole gradient, or None.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float = 0.0
    train_size: int = 0
    val_size: int = 0
    test_size: int = 0
    clip: float | None = None

    def __post_init__(self) -> None:
        least = {"epochs": 1, "batch_size": 1, "weight_decay": 0, "train_size": 0, "val_size": 0, "test_size": 0}
        check({name: (getattr(self, name), bound) for name, bound in least.items()}, {"lr": self.lr, "clip": self.clip})
        if 0 < self.train_size < self.batch_size:
            raise ValueError(
                f"`batch_size` must be at most train_size = {self.train_size}, found batch_size = {self.batch_size}."
            )

    @property
    def sizes(self) -> dict[str, int]:
        """Rows that are used of each split, 0 for all."""
        return {"train": self.train_size, "val": self.val_size, "test": self.test_size}

    @property
    def all_epochs(self) -> int:
        """Epochs of a run."""
        return self.epochs

    def optimizer_of(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.lr, weight_decay=self.weight_decay)

    def schedule_of(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        """None where the rate is constant."""
        return None


@dataclass(frozen=True, kw_only=True)
class Stepped(Training):
    """Adam or SGD at a rate that falls in steps.

    Args:
        optimizer: "adam" or "sgd".
        momentum: of SGD.
        milestones: epochs after which the learning rate is multiplied by `gamma`.
        gamma: see `milestones`.
        passes: factor on `epochs` and `milestones`: an epoch of DR-MGF passes over the data once for every task and
            once more, and this gives another method as many passes.
    """

    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.0
    milestones: tuple[int, ...] = ()
    gamma: float = 0.5
    passes: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check({"momentum": (self.momentum, 0), "passes": (self.passes, 1)}, {"gamma": self.gamma})
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"`momentum` must be 0 unless optimizer = 'sgd', found momentum = {self.momentum}.")
        if not self.momentum < 1:
            raise ValueError(f"`momentum` must be less than 1, found momentum = {self.momentum}.")
        if any(later <= earlier for earlier, later in itertools.pairwise((0, *self.milestones))):
            found = list(self.milestones)
            raise ValueError(f"`milestones` must be epochs from 1 on that rise, found milestones = {found}.")

    @property
    def all_epochs(self) -> int:
        return self.passes * self.epochs

    def optimizer_of(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        if self.optimizer == "adam":
            return super().optimizer_of(parameters)
        return torch.optim.SGD(parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)

    def schedule_of(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        """None without milestones."""
        epochs = [self.passes * epoch for epoch in self.milestones]
        return torch.optim.lr_scheduler.MultiStepLR(optimizer, epochs, self.gamma) if epochs else None


@dataclass(frozen=True, kw_only=True)
class WarmedCosine(Training):
    """AdamW at a rate that rises in even steps and then falls by a cosine; it changes per epoch.

    Args:
        betas: of AdamW.
        warmup: epochs over which the rate rises.
        lr_end: rate of the last epoch.
    """

    betas: tuple[float, ...] = (0.9, 0.95)
    warmup: int = 0
    lr_end: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        check({"warmup": (self.warmup, 0), "lr_end": (self.lr_end, 0)}, {})
        if self.warmup > self.epochs:
            raise ValueError(f"`warmup` must be at most {self.epochs}, found warmup = {self.warmup}.")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"`betas` must be two numbers from 0 to below 1, found betas = {tuple(self.betas)}.")

    @property
    def floor(self) -> float:
        """What the rate falls to, as a share of `lr`."""
        return self.lr_end / self.lr

    def optimizer_of(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        betas = (self.betas[0], self.betas[1])
        return torch.optim.AdamW(parameters, lr=self.lr, betas=betas, weight_decay=self.weight_decay)

    def schedule_of(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        # A partial has no attributes: torch saves those of what it is given.
        return torch.optim.lr_scheduler.LambdaLR(optimizer, partial(self.share_of))

    def share_of(self, epoch: int) -> float:
        """The rate of an epoch, from 0, as a share of `lr`."""
        if epoch < self.warmup:
            return (epoch + 1) / (self.warmup + 1)
        done = (epoch - self.warmup) / max(1, self.epochs - self.warmup - 1)
        return self.floor + (1.0 - self.floor) * (1.0 + math.cos(math.pi * min(1.0, done))) / 2.0


class Declared(Problem):
    """A problem whose network, optimiser and schedule are those that its settings declare.

    Args:
        network: `name` of the network and its fields.
        own: fields of the network that are the problem's to say.
        training: data, rate and schedule.
        kind: what the network must be.

    Raises:
        ValueError: wrong fields of the network, or one of another kind: found here, before any work.
    """

    def __init__(
        self, network: Mapping[str, Any], own: Mapping[str, Any], training: Training, kind: type[Network] = Network
    ) -> None:
        self.epochs, self.clip, self._training = training.all_epochs, training.clip, training
        self._network, self._own = network, own
        if not isinstance(network_of(network, own, None), kind):
            name = kind.__module__.rpartition(".")[2]
            raise ValueError(f"`network.name` must be {name}, found {network['name']!r}.")

    def network(self, generator: torch.Generator) -> Network:
        return network_of(self._network, self._own, generator)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return self._training.optimizer_of(parameters)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        return self._training.schedule_of(optimizer)
