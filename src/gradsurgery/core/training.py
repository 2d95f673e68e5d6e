"""The settings that nearly every problem with data has: how much of it, how long, how fast.

A problem's constructor takes one of these classes, with defaults of its own in a subclass; in a declaration the fields
of that stand beside the problem's others (`discovery.make`).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from gradsurgery.core.settings import check


@dataclass(frozen=True, kw_only=True)
class Training:
    """Data and rate.

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
            return torch.optim.Adam(parameters, lr=self.lr, weight_decay=self.weight_decay)
        return torch.optim.SGD(parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)

    def schedule_of(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        """None without milestones."""
        epochs = [self.passes * epoch for epoch in self.milestones]
        return torch.optim.lr_scheduler.MultiStepLR(optimizer, epochs, self.gamma) if epochs else None
