"""What problems do alike with their settings: check them, draw a network from them, make optimiser and schedule."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from gradsurgery.core.discovery import build
from gradsurgery.core.interfaces import Network


def check(least: Mapping[str, tuple[int | float, int]], positive: Mapping[str, int | float | None]) -> None:
    """Refuses settings below their least value, given beside them, and rates that are not positive; None passes.

    `least` must hold `train_size`, of which 0 means all, and `batch_size`.
    """
    for name, (value, bound) in least.items():
        if value < bound:
            raise ValueError(f"`{name}` must be at least {bound}, found {name} = {value}.")
    for name, rate in positive.items():
        if rate is not None and not rate > 0:
            raise ValueError(f"`{name}` must be positive, found {name} = {rate}.")
    train_size, batch_size = least["train_size"][0], least["batch_size"][0]
    if 0 < train_size < batch_size:
        raise ValueError(f"`batch_size` must be at most train_size = {train_size}, found batch_size = {batch_size}.")


def network_of(fields: Mapping[str, Any], own: Mapping[str, Any], generator: torch.Generator | None) -> Network:
    """The network that `fields` names, with what is the problem's `own` to say.

    Args:
        fields: `name` and the network's fields.
        own: fields that the problem sets, such as the number of tasks.
        generator: draws the initial weights; without one the fields are checked only, at no cost.
    """
    if "name" not in fields:
        raise ValueError(f"`network` must have a `name`, found network = {dict(fields)!r}.")
    for name in sorted(own.keys() & fields.keys()):
        raise ValueError(f"`network.{name}` must be left to the problem, found {name} = {fields[name]!r}.")
    whole = {**own, **{name: value for name, value in fields.items() if name != "name"}}
    if generator is None:
        with torch.device("meta"):
            return build("networks", fields["name"], **whole)
    # Torch initialises layers from its global generator: borrow that, seeded from ours, and give it back untouched.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return build("networks", fields["name"], **whole)


def check_momentum(optimizer: str, momentum: float) -> None:
    """Refuses a momentum that the optimiser would not read."""
    if momentum and optimizer != "sgd":
        raise ValueError(f"`momentum` must be 0 unless optimizer = 'sgd', found momentum = {momentum}.")


def optimizer_of(
    name: str, parameters: Sequence[nn.Parameter], lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Adam ("adam") or SGD ("sgd")."""
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)


def steps_of(
    optimizer: torch.optim.Optimizer, milestones: Sequence[int], gamma: float
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """The rate times `gamma` after each of the epochs in `milestones`; None without milestones."""
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma) if milestones else None
