"""The guard before every method that is handed G: no direction follows from numbers that are not finite."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64

Weigh = Callable[..., tuple[Float64[np.ndarray, " K"], dict[str, Any]]]


class NotFinite(ValueError):
    """`G` was not finite."""


def of_finite(weigh: Weigh) -> Weigh:
    """`weigh(self, G, state, generator)`, never called with a `G` (K, K) that is not finite: NotFinite is raised."""

    @functools.wraps(weigh)
    def checked(
        self: Any, G: Float64[np.ndarray, "K K"], state: dict[str, Any] | None, generator: np.random.Generator
    ) -> tuple[Float64[np.ndarray, " K"], dict[str, Any]]:
        # The sum is finite only where every entry is. Up to three tasks Python adds faster than numpy starts to.
        total = sum(G.ravel().tolist()) if len(G) < 4 else float(G.sum())
        if not math.isfinite(total):
            raise NotFinite(f"`G` must be finite, and its sum too, found {_odd(G)}.")
        return weigh(self, G, state, generator)

    return checked


def _odd(G: Float64[np.ndarray, "K K"]) -> str:
    places = np.argwhere(~np.isfinite(G))
    if not len(places):
        return "numbers whose sum is not"
    i, j = places[0].tolist()
    return f"{G[i, j]} at [{i}, {j}]"
