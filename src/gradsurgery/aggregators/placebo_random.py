"""Placebo: PCGrad's projection, against a random vector in place of the conflicting gradient."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gradsurgery.core.interfaces import Aggregator, State


@dataclass(frozen=True)
class PlaceboRandom(Aggregator):
    """Projects as often and as far as PCGrad would, but off a random vector instead of the conflicting gradient.

    Source: control of ours (protocol.md 1.3, "project against a random vector of the same norm and cosine") for
    Algorithm 1 of Yu et al., "Gradient Surgery for Multi-Task Learning", 2020, arXiv 2001.06782. It shortens the
    gradients as PCGrad does and adds noise, but knows nothing of the other task beyond the cosine. If it trains as
    well, then where PCGrad projects to does not matter.

        v <- g_i;  for j in a random order of the others:  if <v, g_j> < 0:
            r random with |r| = |g_j| and cos(v, r) = cos(v, g_j) = c;  v <- v - <v, r> / |r|^2 r
        d = sum_i v_i

    With u a random unit vector at right angles to v this is v <- (1 - c^2) v - |v| c sqrt(1 - c^2) u: the length of r
    drops out, and v comes out as long as PCGrad's, |v| sqrt(1 - c^2).

    Departures:
        1. From three tasks on v is no longer PCGrad's after the first projection, so that later conflicts are those of
           the placebo's own v.
        2. v and g_j exactly opposed (c = -1, or one parameter only) leave no choice of r: v <- 0, as PCGrad has it.
    """

    def __call__(
        self, J: Float[Tensor, "K P"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float[Tensor, " P"], State]:
        K = len(J)
        rows = J if J.dtype == torch.float64 else J.float()
        lengths = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64).tolist()
        # One order per task, drawn before anything else, as PCGrad draws; with two tasks there is none to draw.
        orders = np.tile(np.arange(K), (K, 1))
        if K > 2:
            orders = generator.permuted(orders, axis=1)
        d = torch.zeros_like(rows[0])
        for i in range(K):
            v = rows[i].clone()
            for j in orders[i]:
                if j != i and lengths[i] > 0.0 and lengths[j] > 0.0:
                    v = _project(v, rows[j] / lengths[j], generator)
            d += v
        return d.to(J.dtype), {}


def _project(v: Float[Tensor, " P"], unit: Float[Tensor, " P"], generator: np.random.Generator) -> Float[Tensor, " P"]:
    length = float(torch.linalg.vector_norm(v))
    if length == 0.0:
        return v
    c = max(float(torch.dot(v / length, unit)), -1.0)
    if c >= 0.0:
        return v
    draws = generator.standard_normal(len(v), dtype=np.float32)  # a direction needs no more digits
    u = torch.from_numpy(draws).to(v)
    u -= torch.dot(u, v / length) * (v / length)
    size = float(torch.linalg.vector_norm(u))
    # One parameter: nothing is at right angles to v, and c is -1 but for rounding.
    sideways = length * c * max(1.0 - c * c, 0.0) ** 0.5 / size if size > 1e-6 * len(v) ** 0.5 else 0.0
    return (1.0 - c * c) * v - sideways * u
