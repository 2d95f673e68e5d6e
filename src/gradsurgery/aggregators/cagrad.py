"""CAGrad: conflict-averse gradient descent."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from gradsurgery.core.extras import need
from gradsurgery.core.interfaces import State, Weighting
from gradsurgery.core.simplex import lopsided, minimise


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
            a maximiser of the full problem too; "keep" leaves them in: the task that cannot move is then the worst
            off, and d = g0 unless every d makes some task lose, which is where the official code comes out.

    Departures:
        1. The paper has no rescaling; the official code has four. The defaults are those of its image experiments.
        2. The official code adds 1e-8 (landscape 1e-4) under the roots; the exact solver needs nothing of the kind
           and gives the same weights from 1e-6 to 1e6 times the gradients, and an optimal d where the gradients'
           lengths differ by up to twelve decades.
        3. Where no d helps every task (zero is in the convex hull of the gradients), the paper's formula divides by
           |g_w| = 0. For c >= 1 d = 0, a fixed point, as Theorem 3.2 has it. For c < 1 d leaves the tasks of that hull
           unchanged and does for the others, orthogonally to them, what the method does.
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
            a, h, _, b = G.ravel().tolist()
            if not lopsided(a, b):
                first, second, gap = self._two(a, h, b)
                return np.array([factor * first, factor * second]), {"gap": gap}
        unit = float(np.trace(G)) / K
        if unit == 0.0:
            return np.full(K, factor / K), {"gap": 0.0}
        alpha, gap = self._official(G, unit) if self.solver == "official" else self._exact(G / unit)
        return factor * alpha, {"gap": gap}

    def _two(self, a: float, h: float, b: float) -> tuple[float, float, float]:
        """Closed form for two tasks, in plain floats: w = (x, 1 - x)."""
        unit = 0.5 * (a + b)
        if unit == 0.0:
            return 0.5, 0.5, 0.0
        a, h, b = a / unit, h / unit, b / unit
        if a == 0.0 or b == 0.0:
            alone = 0.5 * (1.0 + self.c) if self.zero_task == "drop" else 0.5
            return alone, alone, 0.0
        s = 0.5 * self.c * math.sqrt(max(a + b + 2.0 * h, 0.0))
        A, slope = a + b - 2.0 * h, 0.5 * (a - b)
        if A <= 0.0 or slope == 0.0:
            x = 0.5
        elif s * math.sqrt(A) <= abs(slope):
            x = 0.0 if slope > 0.0 else 1.0
        else:
            D = max(a * b - h * h, 0.0)
            x = (b - h - slope * math.sqrt(D / (s * s * A - slope * slope))) / A
            x = min(max(x, 0.0), 1.0)
        y = 1.0 - x
        square = x * (x * a + y * h) + y * (x * h + y * b)
        value, first, second = 0.5 * (x * (a + h) + y * (b + h)), 0.5, 0.5
        if square > 1e-14 * (x * math.sqrt(a) + y * math.sqrt(b)) ** 2:
            lam = s / math.sqrt(square)
            value, first, second = value + lam * square, 0.5 + lam * x, 0.5 + lam * y
        worst = min(a * first + h * second, h * first + b * second)
        if self.c >= 1.0 and worst <= 0.0:
            return 0.0, 0.0, value
        return first, second, value - worst

    def _exact(self, G: Float64[np.ndarray, "K K"]) -> tuple[Float64[np.ndarray, " K"], float]:
        """The weights of d before rescaling, and the gap; `G` has mean diagonal 1."""
        K = len(G)
        moving = np.flatnonzero(np.diag(G) > 0.0)
        m = G.mean(axis=1)
        s = self.c * math.sqrt(max(float(m.mean()), 0.0))
        best = minimise(G[np.ix_(moving, moving)], m[moving], s, floor=0.0 if self.c >= 1.0 else -math.inf)
        alpha = np.full(K, 1.0 / K)
        if self.zero_task == "keep" and len(moving) < K and best.value >= 0.0:
            return alpha, max(0.0, -float((G @ alpha).min()))
        alpha[moving] += best.beta
        worst = float((G @ alpha)[moving].min())
        if self.c >= 1.0 and (best.norm == 0.0 or worst <= 0.0):
            return np.zeros(K), best.value
        return alpha, best.value - worst

    def _official(self, G: Float64[np.ndarray, "K K"], unit: float) -> tuple[Float64[np.ndarray, " K"], float]:
        """What the official image code computes: the same dual, its constants, its solvers, G not normalised."""
        need("repro", "scipy")
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
