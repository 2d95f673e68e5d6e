"""Placebo: PCGrad's projection, against a random vector in place of the conflicting gradient."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gradsurgery.core.interfaces import Aggregator, State
from gradsurgery.core.jacobian import read


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
        norms = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
        units = [row / norm for row, norm in zip(rows, norms, strict=True)]
        # One order per task, drawn before anything else, as PCGrad draws; with two tasks there is none to draw.
        orders = np.tile(np.arange(K), (K, 1))
        if K > 2:
            orders = generator.permuted(orders, axis=1)
        others = [[j for j in orders[i].tolist() if j != i] for i in range(K)]
        # The first projections do not wait for one another, so their numbers are read at once.
        first = [_look(row, units[own[0]]) for row, own in zip(rows, others, strict=True) if own]
        lengths, *known = read(norms, *first)
        d = torch.zeros_like(rows[0])
        for i in range(K):
            v = rows[i].clone()
            for place, j in enumerate(others[i]):
                if lengths[i] > 0.0 and lengths[j] > 0.0:
                    (seen,) = known[i : i + 1] if place == 0 else read(_look(v, units[j]))
                    v = _project(v, float(seen[0]), float(seen[1]), generator)
            d += v
        return d.to(J.dtype), {}


def _look(v: Float[Tensor, " P"], unit: Float[Tensor, " P"]) -> Float[Tensor, "2"]:
    """|v|, and the cosine of v and a unit vector, not a number where |v| is 0."""
    length = torch.linalg.vector_norm(v)
    return torch.stack([length, torch.dot(v / length, unit)])


def _project(
    v: Float[Tensor, " P"], length: float, cosine: float, generator: np.random.Generator
) -> Float[Tensor, " P"]:
    c = max(cosine, -1.0)
    if length == 0.0 or c >= 0.0:
        return v
    draws = generator.standard_normal(len(v), dtype=np.float32)  # a direction needs no more digits
    u = torch.from_numpy(draws).to(v)
    u -= torch.dot(u, v / length) * (v / length)
    size = torch.linalg.vector_norm(u).double()
    # One parameter: nothing is at right angles to v, and c is -1 but for rounding.
    sideways = torch.where(size > 1e-6 * len(v) ** 0.5, length * c * max(1.0 - c * c, 0.0) ** 0.5 / size, 0.0)
    return (1.0 - c * c) * v - sideways * u
