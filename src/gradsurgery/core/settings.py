"""What problems do alike with their settings: check them, and draw a network from them."""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from gradsurgery.core.discovery import build
from gradsurgery.core.interfaces import Network

MOST = 10_000  # of a width, a depth or a number of parts: more is a slip, and building it would never end


def check(least: Mapping[str, tuple[int | float, int]], positive: Mapping[str, int | float | None]) -> None:
    """Refuses settings below their least value, given beside them, and rates that are not positive; None passes.

    All must be finite.
    """
    for name, (value, bound) in least.items():
        if not bound <= value < math.inf:
            raise ValueError(f"`{name}` must be at least {bound}, found {name} = {value}.")
    for name, rate in positive.items():
        if rate is not None and not 0 < rate < math.inf:
            raise ValueError(f"`{name}` must be positive, found {name} = {rate}.")


def check_sizes(least: Mapping[str, tuple[int, int]], given: str = "") -> None:
    """Refuses sizes of a network below their least value, given beside them, or above `MOST`.

    Args:
        least: value and least value by name.
        given: under which circumstances the least values hold, for the sentence.
    """
    for name, (value, bound) in least.items():
        if value < bound:
            raise ValueError(f"`{name}` must be at least {bound}{given}, found {name} = {value}.")
        if value > MOST:
            raise ValueError(f"`{name}` must be at most {MOST}, found {name} = {value}.")


def check_seed(seed: int) -> None:
    """Refuses a seed below 0."""
    if seed < 0:
        raise ValueError(f"`seed` must be non-negative, found seed = {seed}.")


@dataclass(frozen=True)
class OneSet:
    """What `prepare` reads of params.yaml where it cuts one data set into splits.

    Args:
        left: the data set.
        seed: of every draw.
        right: the same data set, or left out.
    """

    left: str
    seed: int
    right: str | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.right not in (None, self.left):
            raise ValueError(f"`right` must be left out or left = {self.left!r}, found right = {self.right!r}.")


def check_rows(splits: Mapping[str, int], batch_size: int) -> None:
    """Refuses data that an epoch or an evaluation could make nothing of.

    Args:
        splits: rows of "train", "val" and "test" that are used.
        batch_size: rows of a step.
    """
    for split, rows in splits.items():
        if rows == 0:
            raise ValueError(f"`{split}_size` must leave a row, found none in the prepared arrays.")
    if batch_size > splits["train"]:
        raise ValueError(
            f"`batch_size` must be at most the {splits['train']} training rows, found batch_size = {batch_size}."
        )


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
        return _sketch(fields["name"], json.dumps(whole, default=repr))
    # Torch initialises layers from its global generator: borrow that, seeded from ours, and give it back untouched.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return build("networks", fields["name"], **whole)


@functools.lru_cache(maxsize=1024)
def _sketch(name: str, fields: str) -> Network:
    """A network without weights from the JSON of its fields: many lines of a table have the same one."""
    with torch.device("meta"):
        try:
            network: Network = build("networks", name, **json.loads(fields))
        except RuntimeError as error:  # sizes whose product no machine can address
            reason = str(error).partition("\n")[0]
            raise ValueError(f"`network` must be one that can be built, found {name} of {fields}: {reason}") from None
    return network
