"""How far the task gradients conflict, and what the direction makes of it.

Everything is a function of G, of the gains J d and of |d|. Convention: a quotient whose denominator is zero counts
as 0, and so does a mean over no pairs (K = 1). So a task without a gradient neither agrees nor conflicts.
"""

import math

import numpy as np
from jaxtyping import Float64

from gradsurgery.core.interfaces import Metrics


def diagnose(G: Float64[np.ndarray, "K K"], gains: Float64[np.ndarray, " K"], norm: float) -> Metrics:
    """All diagnostics of one step, by name.

    Args:
        G: Gram matrix of the task gradients.
        gains: J d, for the direction d that replaced the gradient.
        norm: |d|.
    """
    return {
        "conflict_share": conflict_share(G),
        "mean_cosine": mean_cosine(G),
        "magnitude_similarity": magnitude_similarity(G),
        "deviation": deviation(G, gains, norm),
        "worst_alignment": worst_alignment(G, gains, norm),
    }


def conflict_share(G: Float64[np.ndarray, "K K"]) -> float:
    """Share of task pairs with <g_i, g_j> < 0."""
    return _mean(_pairs(G) < 0)


def mean_cosine(G: Float64[np.ndarray, "K K"]) -> float:
    """Mean over task pairs of cos(g_i, g_j)."""
    norms = np.sqrt(G.diagonal())
    return _mean(_pairs(_ratio(G, np.outer(norms, norms))))


def magnitude_similarity(G: Float64[np.ndarray, "K K"]) -> float:
    """Mean over task pairs of 2 |g_i| |g_j| / (|g_i|^2 + |g_j|^2): 1 for equal lengths, 0 for incomparable ones."""
    squares = G.diagonal()
    norms = np.sqrt(squares)
    return _mean(_pairs(_ratio(2 * np.outer(norms, norms), np.add.outer(squares, squares))))


def deviation(G: Float64[np.ndarray, "K K"], gains: Float64[np.ndarray, " K"], norm: float) -> float:
    """|s d - g0| / |g0| with d first scaled to the length of g0: 0 for the mean gradient, 2 for its opposite.

    Equal to sqrt(2 - 2 cos(d, g0)). Rounding of a float32 J shows as a floor of about 3e-4.
    """
    mean_norm = np.sqrt(max(G.mean(), 0.0))
    if mean_norm == 0.0 or norm == 0.0:
        return float(mean_norm > 0.0)  # a zero d cannot be scaled: it deviates by |g0| itself
    return float(np.sqrt(max(2 - 2 * gains.mean() / (norm * mean_norm), 0.0)))


def worst_alignment(G: Float64[np.ndarray, "K K"], gains: Float64[np.ndarray, " K"], norm: float) -> float:
    """min_k cos(g_k, d): below zero, the step makes some task worse to first order."""
    return float(_ratio(gains, np.sqrt(G.diagonal()) * norm).min())


def _pairs(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.triu_indices(len(matrix), k=1)]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else 0.0


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def cosine(G: Float64[np.ndarray, "K K"], a: Float64[np.ndarray, " K"], b: Float64[np.ndarray, " K"]) -> float:
    """cos(J^T a, J^T b), 1 where both are zero and 0 where one is."""
    squares = float(a @ G @ a), float(b @ G @ b)
    if min(squares) <= 0.0:
        return float(max(squares) <= 0.0)
    return min(1.0, max(-1.0, float(a @ G @ b) / math.sqrt(squares[0]) / math.sqrt(squares[1])))
