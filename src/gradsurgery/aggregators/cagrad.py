"""CAGrad: conflict-averse gradient descent."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from gradsurgery.core.interfaces import State, Weighting
from gradsurgery.core.simplex import minimise


@dataclass(frozen=True)
class CAGrad(Weighting):
    """Moves the mean gradient, within a ball around it, to where the worst-off task gains most.

    Source: Algorithm 1 and equation 3 of Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning", 2021,
    arXiv 2110.14048.

        d = argmax_d min_k <g_k, d>  with  |d - g0| <= c |g0|
          = g0 + (s / |g_w|) g_w,  s = c |g0|,  g_w = J^T w,  w = argmin over the simplex of <g_w, g0> + s |g_w|

    The state's `gap` is the duality gap F(w) - min_k <g_k, d> of that problem before rescaling, divided by the mean
    of |g_k|^2: zero if and only if d is optimal.

    Args:
        c: radius of the ball, as a share of |g0|; 0 is the mean, below 1 the method provably minimises the mean loss.
        rescale: 0: d as it is (Algorithm 1); 1: d / (1 + c^2) (the official image experiments); 2: d / (1 + c) (the
            official landscape).
        scale_by_num_tasks: multiply by K, as the official image experiments do "to match the sum".
        solver: "exact" (closed form for two tasks, active set beyond), or "official": scipy with the constants of the
            official code, to reproduce its tables. Its tolerance is absolute, so that it fails for small gradients.
        zero_task: "drop" takes tasks without a gradient out of the maximin (they still count in g0 and K), which is
            a maximiser of the full problem too; "keep" leaves them in, and then d = g0 unless some task loses.

    Departures:
        1. The paper has no rescaling; the official code has four. The defaults are those of its image experiments.
        2. The official code adds 1e-8 (landscape 1e-4) under the roots; the exact solver needs nothing of the kind
           and gives the same weights from 1e-6 to 1e6 times the gradients.
        3. Zero is in the convex hull of the gradients (no d helps every task): for c >= 1 d = 0, a fixed point, as
           Theorem 3.2 has it. For c < 1 d is the part of g0 that is orthogonal to the tasks in that hull.
        4. The official reinforcement-learning solvers (softmax descent, CAGrad-Fast) are left out.
    """

    c: float = 0.5
    rescale: Literal[0, 1, 2] = 1
    scale_by_num_tasks: bool = True
    solver: Literal["exact", "official"] = "exact"
    zero_task: Literal["drop", "keep"] = "drop"

    def __post_init__(self) -> None:
        if not (self.c >= 0.0 and math.isfinite(self.c)):
            raise ValueError(f"`c` must be non-negative, found c = {self.c}.")
        if self.rescale not in (0, 1, 2):
            raise ValueError(f"`rescale` must be 0, 1 or 2, found rescale = {self.rescale!r}.")
        if self.solver not in ("exact", "official"):
            raise ValueError(f"`solver` must be 'exact' or 'official', found solver = {self.solver!r}.")
        if self.zero_task not in ("drop", "keep"):
            raise ValueError(f"`zero_task` must be 'drop' or 'keep', found zero_task = {self.zero_task!r}.")

    def __call__(
        self, G: Float64[np.ndarray, "K K"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float64[np.ndarray, " K"], State]:
        K = len(G)
        factor = (1.0, 1.0 / (1.0 + self.c**2), 1.0 / (1.0 + self.c))[self.rescale]
        if self.scale_by_num_tasks:
            factor *= K
        if K == 2 and self.solver == "exact":
            first, second, gap = self._two(*G.ravel().tolist())
            return np.array([factor * first, factor * second]), {"gap": gap}
        unit = float(np.trace(G)) / K
        if unit == 0.0:
            return np.full(K, factor / K), {"gap": 0.0}
        alpha, gap = self._official(G, unit) if self.solver == "official" else self._exact(G / unit)
        return factor * alpha, {"gap": gap}

    def _two(self, a: float, h: float, _: float, b: float) -> tuple[float, float, float]:
        """Closed form for two tasks, in plain floats: w = (x, 1 - x)."""
        unit = 0.5 * (a + b)
        if unit == 0.0:
            return 0.5, 0.5, 0.0
        a, h, b = a / unit, h / unit, b / unit
        s = 0.5 * self.c * math.sqrt(max(a + b + 2.0 * h, 0.0))
        A, B, slope = a + b - 2.0 * h, b - h, 0.5 * (a - b)
        if self.zero_task == "drop" and (a == 0.0 or b == 0.0):
            x = 1.0 if b == 0.0 else 0.0
        elif A <= 0.0:
            x = 0.5
        elif s * math.sqrt(A) <= abs(slope):
            x = 0.5 if slope == 0.0 else 0.0 if slope > 0.0 else 1.0
        else:
            D = max(a * b - h * h, 0.0)
            x = B / A - slope * math.sqrt(D) / (A * math.sqrt(s * s * A - slope * slope))
            x = min(max(x, 0.0), 1.0)
        y = 1.0 - x
        square = x * (x * a + y * h) + y * (x * h + y * b)
        value = 0.5 * (x * (a + h) + y * (b + h))
        if square > 1e-15:
            lam = s / math.sqrt(square)
            value += lam * square
            first, second = 0.5 + lam * x, 0.5 + lam * y
        else:
            first = second = 0.5 if self.c < 1.0 else 0.0
        dots = [a * first + h * second, h * first + b * second]
        if self.zero_task == "drop" and (a == 0.0 or b == 0.0):
            dots = [dots[0] if b == 0.0 else dots[1]]
        return first, second, value - min(dots)

    def _exact(self, G: Float64[np.ndarray, "K K"]) -> tuple[Float64[np.ndarray, " K"], float]:
        """Weights of g0 + beta-combination, and the gap; `G` has mean diagonal 1."""
        K = len(G)
        kept = np.flatnonzero(np.diag(G) > 0.0) if self.zero_task == "drop" else np.arange(K)
        m = G.mean(axis=1)
        s = self.c * math.sqrt(max(float(m.mean()), 0.0))
        GS = G[np.ix_(kept, kept)]
        best = minimise(GS, m[kept], s)
        alpha = np.full(K, 1.0 / K)
        if best.norm == 0.0 and self.c >= 1.0:
            alpha[:] = 0.0
        else:
            alpha[kept] += best.beta
        gap = float(best.w @ m[kept]) + s * best.norm - float((G @ alpha)[kept].min())
        return alpha, gap

    def _official(self, G: Float64[np.ndarray, "K K"], unit: float) -> tuple[Float64[np.ndarray, " K"], float]:
        """What the official image code computes: the same dual, its constants, its solvers, G not normalised."""
        from scipy.optimize import minimize, minimize_scalar  # only this option needs scipy

        K = len(G)
        m = G.mean(axis=1)
        s = self.c * math.sqrt(float(m.mean()) + 1e-8) + (0.0 if K == 2 else 1e-8)

        def dual(w: Float64[np.ndarray, " K"]) -> float:
            return float(w @ m + s * np.sqrt(w @ G @ w + 1e-8))

        if K == 2:
            x = minimize_scalar(lambda x: dual(np.array([x, 1.0 - x])), bounds=(0.0, 1.0), method="bounded").x
            w = np.array([x, 1.0 - x])
        else:
            simplex = {"type": "eq", "fun": lambda w: 1.0 - w.sum()}
            w = minimize(dual, np.full(K, 1.0 / K), bounds=[(0.0, 1.0)] * K, constraints=simplex).x
        alpha = 1.0 / K + s / (math.sqrt(max(float(w @ G @ w), 0.0) + 1e-8) + 1e-8) * w
        return alpha, (dual(w) - float((G @ alpha).min())) / unit
