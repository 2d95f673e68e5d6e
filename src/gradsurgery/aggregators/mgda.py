"""MGDA: the multiple-gradient descent algorithm."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gradsurgery.core.interfaces import State, Weighting
from gradsurgery.core.simplex import lopsided, minimise


@dataclass(frozen=True)
class MGDA(Weighting):
    """Takes the shortest vector in the convex hull of the task gradients, which improves every task or is zero.

    Source: Desideri, "Multiple-gradient descent algorithm (MGDA) for multiobjective optimization", Comptes Rendus
    Mathematique 350, 2012; as a multi-task method: Sener and Koltun, 2018, arXiv 1810.04650 (v2).

        d = J^T w,  w = argmin over the simplex of |J^T w|

    A task without a gradient makes d zero: by this rule nothing can be improved without it. d hurts no task whatever
    the gradients' lengths; where it is shorter than 1e-7 of what it is combined from, zero is in the hull as far as
    float64's G can tell, and what is left of d is rounding.

    Departures:
        1. The minimum is exact (closed form for two tasks, active set beyond); Sener and Koltun stop Frank-Wolfe at a
           tolerance.
        2. No normalisation of the gradients by their norm or loss, which their code offers for some data sets.
    """

    def __call__(
        self, G: Float64[np.ndarray, "K K"], state: State | None, generator: np.random.Generator
    ) -> tuple[Float64[np.ndarray, " K"], State]:
        K = len(G)
        if K == 2:
            (a, h), (_, b) = G.tolist()
            if not lopsided(a, b):
                A = a + b - 2.0 * h
                x = min(max((b - h) / A, 0.0), 1.0) if A > 0.0 else 0.5
                return np.array([x, 1.0 - x]), {}
        unit = float(np.trace(G)) / K
        if unit == 0.0:
            return np.full(K, 1.0 / K), {}
        return minimise(G / unit, np.zeros(K), 1.0, floor=0.0).w, {}
