"""SAM-GS: similarity-aware momentum gradient surgery."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

from gradsurgery.core.interfaces import Aggregator, State
from gradsurgery.core.memory import PerTask

_BLOCK = 1 << 18  # numbers of J in one block on a CPU: 1 MB in float32, so that J and m are read from memory once
_MODERATE = range(-40, 24)  # exponents of lengths whose products float32 holds, and the squares of those products
_UNITS = 126  # largest exponent of a unit: its inverse is still a normal number


@dataclass(frozen=True)
class SAMGS(Aggregator, PerTask):
    """Equalises the gradients' lengths when they differ much, and weights them by their momentum when they do not.

    Source: Algorithm 1 of Borsani et al., "Gradient Similarity Surgery in Multi-Task Deep Learning", 2025,
    arXiv 2506.06130 (v1), and the official code at 7eee6a2.

        psi_ij = 2 |g_i| |g_j| / (|g_i|^2 + |g_j|^2),  Psi = mean over pairs
        m_k <- beta1 m_k + (1 - beta1) g_k,  h <- beta2 h + (1 - beta2) (1 - Psi)^2 + eps,  both bias-corrected: m^, h^
        Psi < gamma:  d = sum_k (mean_j |g_j| / |g_k|) g_k      else:  d = sum_k |m^_k| * g_k / sqrt(h^)  (elementwise)
        d <- K d min(1, max_norm / (|K d| + 1e-6))

    d is of second degree in g. Where lengths of g or m are far from 1, products are formed in units of a power of two,
    which changes no bit that could be had without, and the clip takes the unit back.

    State: `m` (K, P), `h`, `t`, `steps` (K, how often each m_k was advanced), `reach` (K, no m_k is longer), and for
    the log `similarity` (Psi) and `equalised` (1 or 0). `m` is advanced inside its own tensor, because a second (K, P)
    tensor would be the largest thing in a run: the state that comes out holds the tensor of the state that went in,
    which must not be used again (clone it to keep it). float16 and bfloat16 gradients keep a float32 `m`.

    Args:
        gamma: similarity below which lengths are equalised; 0 never, above 1 always.
        beta1: decay of the gradients' momentum.
        beta2: decay of the dissimilarity's momentum.
        eps: added to h at every step; bounds 1 / sqrt(h^).
        similarity: Psi: "pairs_mean" over pairs i < j; "full_mean" over all K^2 entries, the diagonal included;
            "min" over pairs; "mtrl": the smallest pair decides, while h is fed the mean.
        eps_in_denominator: divide by sqrt(h^) + eps.
        scale_by_num_tasks: multiply d by K.
        max_norm: length to which d is then clipped; None for no clipping.

    Departures:
        1. The paper's Algorithm 1 is "full_mean", eps_in_denominator=True, scale_by_num_tasks=False, max_norm=None;
           we follow the official code, with which alone the paper's own landscape result holds.
        2. The official trainer multiplies by K and clips outside the method; they belong to it here, so that what was
           published is one object. A clip of the problem's comes after, as for every method.
        3. The official reinforcement-learning agent shares one momentum between networks of different size and starts
           it at 1; we keep one state per parameter set, from 0.
        4. The official code returns NaN for one task and for tasks without a gradient. One task: d = g, then clipped.
           A zero gradient has similarity 0 to others, 1 to another zero, and weight 0 in equalisation.
    """

    gamma: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    similarity: Literal["pairs_mean", "full_mean", "min", "mtrl"] = "pairs_mean"
    eps_in_denominator: bool = False
    scale_by_num_tasks: bool = True
    max_norm: float | None = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.gamma < math.inf:
            raise ValueError(f"`gamma` must be non-negative, found gamma = {self.gamma}.")
        for name, beta in (("beta1", self.beta1), ("beta2", self.beta2)):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"`{name}` must be at least 0 and less than 1, found {name} = {beta}.")
        if not 0.0 < self.eps < math.inf:
            raise ValueError(f"`eps` must be positive, found eps = {self.eps}.")
        if self.similarity not in ("pairs_mean", "full_mean", "min", "mtrl"):
            known = "'pairs_mean', 'full_mean', 'min' or 'mtrl'"
            raise ValueError(f"`similarity` must be {known}, found similarity = {self.similarity!r}.")
        if self.max_norm is not None and not 0.0 < self.max_norm < math.inf:
            raise ValueError(f"`max_norm` must be positive or null, found max_norm = {self.max_norm}.")

    def __call__(
        self, J: Float[Tensor, "K P"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float[Tensor, " P"], State]:
        K = len(J)
        G = J.float() if J.dtype in (torch.float16, torch.bfloat16) else J
        norms = torch.linalg.vector_norm(G, dim=1).double().cpu().numpy()
        if not np.isfinite(norms).all():  # their squares leave float32
            norms = torch.linalg.vector_norm(G, dim=1, dtype=torch.float64).cpu().numpy()
        unit = _unit(norms)
        if K == 1:
            return self._finish(G[0] * 2.0**-unit, 1, unit).to(J.dtype), {}
        if not state:
            state = {"m": torch.zeros_like(G, memory_format=torch.contiguous_format), "h": 0.0, "t": 0}
        m, t, kept = state["m"], state["t"] + 1, _by_task(state, K)
        if m.shape != J.shape:
            raise ValueError(
                f"`J` must keep the shape the state was made for, {tuple(m.shape)}, found {tuple(J.shape)}."
            )
        steps, reach = kept["steps"] + 1, self.beta1 * kept["reach"] + (1.0 - self.beta1) * norms

        decides, recorded = self._similarities(norms)
        h = self.beta2 * state["h"] + (1.0 - self.beta2) * (1.0 - recorded) ** 2 + self.eps
        equalise = decides < self.gamma
        units = [unit] if equalise else [_unit(reach), unit]  # in this order |m_k| meets them: it may be far longer
        if equalise:
            m.lerp_(G, 1.0 - self.beta1)
            lengths = np.divide(norms.mean(), norms, out=np.zeros(K), where=norms > 0.0)
            d = torch.from_numpy(lengths * 2.0**-unit).to(G) @ G
        else:
            root = np.sqrt(h / (1.0 - self.beta2**t)) + (self.eps if self.eps_in_denominator else 0.0)
            # A task that was absent before has an m_k of its own age; t is the age of all others.
            young = (1.0 - self.beta1**t) / (1.0 - self.beta1**steps) if (steps != t).any() else None
            d = _advance_and_modulate(m, G, 1.0 - self.beta1, young, units).div_((1.0 - self.beta1**t) * root)
        after = {"m": m, "h": h, "t": t, "steps": steps, "reach": reach, "similarity": decides}
        after["equalised"] = float(equalise)
        return self._finish(d, K, *units).to(J.dtype), after

    def recall(self, state: State, tasks: Sequence[int], num_tasks: int) -> State:
        """The momenta of `tasks` and their ages; h and t are those of the similarity of whoever was there."""
        if not state:
            return {}
        return {**state, "m": state["m"][tasks], **{key: own[tasks] for key, own in _by_task(state, num_tasks).items()}}

    def remember(self, state: State | None, part: State, tasks: Sequence[int], num_tasks: int) -> State:
        """Puts the momenta back. A step with one task leaves all of it as it was."""
        if not part:
            return state or {}
        m = state["m"] if state else part["m"].new_zeros(num_tasks, part["m"].shape[1])
        m[tasks] = part["m"]
        kept = _by_task(state or {"t": 0}, num_tasks)
        for key, own in kept.items():
            own[tasks] = part[key]
        return {**part, "m": m, **kept}

    def _similarities(self, norms: Float64[np.ndarray, " K"]) -> tuple[float, float]:
        """The similarity that decides the regime, and the one that feeds h."""
        relative = norms / (norms.max() or 1.0)  # squares of tiny norms would vanish
        squares = relative**2
        sums = squares[:, None] + squares
        psi = np.divide(2.0 * relative[:, None] * relative, sums, out=np.ones_like(sums), where=sums > 0.0)
        K = len(norms)
        mean = float((psi.sum() - K) / (K * (K - 1)))
        if self.similarity == "pairs_mean":
            return mean, mean
        if self.similarity == "full_mean":
            full = 1.0 / K + (1.0 - 1.0 / K) * mean
            return full, full
        smallest = float(psi.min())
        return smallest, smallest if self.similarity == "min" else mean

    def _finish(self, d: Float[Tensor, " P"], K: int, *units: int) -> Float[Tensor, " P"]:
        """K d, clipped; what is given is d in units of 2 to the power of all `units`."""
        scale = float(K) if self.scale_by_num_tasks else 1.0
        if self.max_norm is None:
            for unit in filter(None, units):
                d.mul_(2.0**unit)
            return d.mul_(scale)
        whole = 2.0 ** sum(units)
        length = torch.linalg.vector_norm(d).double() * whole  # not read, so that the host need not wait for the device
        return d.mul_((self.max_norm / (scale * length + 1e-6)).clamp(max=1.0) * scale * whole)


def _by_task(state: State, num_tasks: int) -> dict[str, Shaped[np.ndarray, " K"]]:
    """Copies of `steps` and `reach`, which states of earlier versions lack."""
    steps, reach = state.get("steps", np.full(num_tasks, state["t"])), state.get("reach", np.zeros(num_tasks))
    return {"steps": steps.copy(), "reach": reach.copy()}


def _unit(lengths: Float64[np.ndarray, " K"]) -> int:
    """The exponent of the power of two in which gradients of these lengths are measured: 0 where that needs no care."""
    exponent = math.frexp(lengths.max())[1]
    return 0 if exponent in _MODERATE else max(-_UNITS, min(_UNITS, exponent))


def _advance_and_modulate(
    m: Float[Tensor, "K P"], G: Float[Tensor, "K P"], rate: float, young: Float64[np.ndarray, " K"] | None,
    units: Sequence[int],
) -> Float[Tensor, " P"]:  # fmt: skip
    """Moves m towards G in place and returns sum_k |m_k| * g_k, block by block: no temporary of the size of J.

    With `young`, the tasks' factors of |m_k|. The sum is in units of 2 to the power of all `units`.
    """
    K, P = G.shape
    block = P if G.is_cuda else max(_BLOCK // K, 1)
    d = torch.empty(P, dtype=G.dtype, device=G.device)
    factors = None if young is None else torch.from_numpy(young).to(G)[:, None]
    for start in range(0, P, block):
        columns = slice(start, start + block)
        g = G[:, columns]
        modulated = m[:, columns].lerp_(g, rate).abs()
        for unit in filter(None, units):
            modulated.mul_(2.0**-unit)
        modulated.mul_(g)
        torch.sum(modulated if factors is None else modulated.mul_(factors), dim=0, out=d[columns])
    return d
