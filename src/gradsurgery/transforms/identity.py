"""The neutral filler of the transform slot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradsurgery.core.interfaces import ModelTransform, Network


@dataclass(frozen=True)
class Identity(ModelTransform):
    """Trains the problem's network as it is.

    Source: none.

    Args: none.

    Departures: none known.
    """

    def check(self, build: Callable[[], Network]) -> None:
        """Nothing is refused, and no network is built."""

    def __call__(self, network: Network, evidence: Mapping[str, Any] | None, generator: np.random.Generator) -> Network:
        """`network` itself; evidence is not looked at, and nothing is drawn."""
        return network
