"""PCGrad: projecting conflicting gradients."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from gradsurgery.core.interfaces import State, Weighting


@dataclass(frozen=True)
class PCGrad(Weighting):
    """Takes from each task's gradient, one by one, the part that opposes another task's gradient.

    Source: Algorithm 1 of Yu et al., "Gradient Surgery for Multi-Task Learning", 2020, arXiv 2001.06782.

        v <- g_i;  for j in a random order of the others:  if <v, g_j> < 0:  v <- v - <v, g_j> / |g_j|^2 g_j
        d = sum_i v_i

    v stays a combination of the rows of J, so the inner products <v_i, g_j> and with them the weights follow from G.
    With two tasks nothing depends on the order, and the generator is not touched.

    Args:
        reduction: "sum" of the projected gradients (the paper), or their "mean".
        order: "random" draws an order for each task at every step (the paper); "fixed" visits 1..K.
        include_self: also project a task's running gradient against that task's own original gradient.

    Departures:
        1. The official TensorFlow code throws its shuffle away and visits 1..K; we follow the paper. Theirs is
           `order="fixed", include_self=True`.
        2. The official code and several ports let j = i take part, which from three tasks on can undo a task's own
           gradient; we follow the paper and leave it out.
        3. Ports that return the mean (or that of all parameters, heads included) are `reduction="mean"`; heads are
           never ours to touch.
        4. The official code divides 0 by 0 for a zero gradient; such a task conflicts with nobody here.
    """

    reduction: Literal["sum", "mean"] = "sum"
    order: Literal["random", "fixed"] = "random"
    include_self: bool = False

    def __post_init__(self) -> None:
        if self.reduction not in ("sum", "mean"):
            raise ValueError(f"`reduction` must be 'sum' or 'mean', found reduction = {self.reduction!r}.")
        if self.order not in ("random", "fixed"):
            raise ValueError(f"`order` must be 'random' or 'fixed', found order = {self.order!r}.")

    def __call__(
        self, G: Float64[np.ndarray, "K K"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float64[np.ndarray, " K"], State]:
        share = 1.0 if self.reduction == "sum" else 1.0 / len(G)
        if len(G) == 2:
            # Plain floats: the landscapes come here a million times. A task never opposes itself when K = 2.
            (a, h), (_, b) = G.tolist()
            if h >= 0.0:
                return np.array([share, share]), {}
            first, second = (1.0 - h / a if a > 0.0 else 1.0), (1.0 - h / b if b > 0.0 else 1.0)
            return np.array([share * first, share * second]), {}
        return share * _weights(G, self._orders(len(G), generator), self.include_self), {}

    def _orders(self, K: int, generator: np.random.Generator) -> np.ndarray:
        # A random order of all K tasks, with task i skipped when its turn comes, is a random order of the others.
        orders = np.tile(np.arange(K), (K, 1))
        return generator.permuted(orders, axis=1) if self.order == "random" else orders


def _weights(G: Float64[np.ndarray, "K K"], orders: np.ndarray, include_self: bool) -> Float64[np.ndarray, " K"]:
    """Sum over i of the coefficients of v_i, where row i of `orders` is task i's order. All tasks advance together."""
    K = len(G)
    tasks = np.arange(K)
    norms = np.where(np.diag(G) > 0.0, np.diag(G), np.inf)  # a zero gradient is never projected on
    inner = G.copy()  # inner[i, j] = <v_i, g_j>
    weights = np.ones(K)
    for against in orders.T:
        s = np.minimum(inner[tasks, against], 0.0)
        if not include_self:
            s[against == tasks] = 0.0
        coefficients = -s / norms[against]
        weights += np.bincount(against, coefficients, K)
        inner += coefficients[:, None] * G[against]
    return weights
