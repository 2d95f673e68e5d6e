"""Placebo: PCGrad's projection where the gradients agree, and nowhere else."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gradsurgery.core.interfaces import State, Weighting


@dataclass(frozen=True)
class PlaceboPositive(Weighting):
    """Takes from each task's gradient the part that it shares with another's, and leaves conflicts as they are.

    Source: control of ours (protocol.md 1.3, "project only when cos > 0") for Algorithm 1 of Yu et al., "Gradient
    Surgery for Multi-Task Learning", 2020, arXiv 2001.06782. If it trains as well as PCGrad does, then conflicts
    are not what PCGrad's projection helps with.

        v <- g_i;  for j in a random order of the others:  if <v, g_j> > 0:  v <- v - <v, g_j> / |g_j|^2 g_j
        d = sum_i v_i

    Orders, sum and draws are PCGrad's; with two tasks nothing depends on the order, and the generator is not touched.

    Departures:
        1. Tasks whose gradients are alike lose them altogether (d = 0 for two equal ones). That is the definition, so
           nothing is put in its place; under Adam the length of d hardly matters, under SGD it does.
    """

    def __call__(
        self, G: Float64[np.ndarray, "K K"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float64[np.ndarray, " K"], State]:
        K = len(G)
        tasks = np.arange(K)
        orders = np.tile(tasks, (K, 1))
        if K > 2:
            orders = generator.permuted(orders, axis=1)
        norms = np.where(np.diag(G) > 0.0, np.diag(G), np.inf)  # a zero gradient is never projected on
        inner = G.copy()  # inner[i, j] = <v_i, g_j>
        weights = np.ones(K)
        for against in orders.T:
            s = np.maximum(inner[tasks, against], 0.0)
            s[against == tasks] = 0.0
            coefficients = -s / norms[against]
            weights += np.bincount(against, coefficients, K)
            inner += coefficients[:, None] * G[against]
        return weights, {}
