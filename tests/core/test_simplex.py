"""The simplex problem against brute force over supports and against its own certificate."""

import itertools

import numpy as np
import pytest

from gradsurgery.core.simplex import minimise


def problem(seed, K, P, c):
    J = np.random.default_rng(seed).standard_normal((K, P))
    G = J @ J.T
    G /= np.trace(G) / K
    m = G.mean(axis=1)
    return G, m, c * np.sqrt(m.mean())


def over_supports(G, m, s):
    """The best primal value t over all supports: |sum beta g| = s with equal slopes t on the support (c < 1)."""
    K, best = len(G), None
    for size in range(1, K + 1):
        for S in itertools.combinations(range(K), size):
            try:
                inverse = np.linalg.inv(G[np.ix_(S, S)])
            except np.linalg.LinAlgError:
                continue
            one = np.ones(size)
            q, p, r = one @ inverse @ one, one @ inverse @ m[list(S)], m[list(S)] @ inverse @ m[list(S)]
            root = p * p - q * (r - s * s)
            if root < 0:
                continue
            t = (p + np.sqrt(root)) / q
            beta = np.zeros(K)
            beta[list(S)] = inverse @ (t - m[list(S)])
            if beta.min() >= -1e-10 and (m + G @ beta).min() >= t - 1e-9:
                best = t
    return best


@pytest.mark.parametrize("K", [2, 3, 4, 5])
@pytest.mark.parametrize("c", [0.1, 0.5, 0.9])
def test_equals_enumeration_of_supports(K, c):
    for seed in range(15):
        G, m, s = problem(seed, K, 12, c)
        assert minimise(G, m, s).value == pytest.approx(over_supports(G, m, s), abs=1e-9)


@pytest.mark.parametrize(("K", "P"), [(3, 2), (6, 3), (20, 5), (40, 100)])
@pytest.mark.parametrize("c", [0.0, 0.3, 0.9])
def test_certifies_itself(K, P, c):
    for seed in range(5):
        G, m, s = problem(seed, K, P, c)
        best = minimise(G, m, s)
        assert best.w.min() >= 0
        assert best.w.sum() == pytest.approx(1.0)
        assert best.value == pytest.approx(m @ best.w + s * np.sqrt(max(best.w @ G @ best.w, 0.0)), abs=1e-7)
        assert (m + G @ best.beta).min() == pytest.approx(best.value, abs=1e-9)


def test_at_the_kink_the_multipliers_are_not_a_multiple_of_w():
    """Two opposite gradients hold each other; the third is served by all of the radius."""
    J = np.array([[1.0, 0], [-1, 0], [0, 1]])
    G, m = J @ J.T, (J @ J.T).mean(axis=1)
    best = minimise(G, m, 0.5 / 3)
    assert best.norm == 0.0
    assert best.w == pytest.approx([0.5, 0.5, 0])
    assert best.beta @ J == pytest.approx([0, 0.5 / 3])


def test_floor_ends_the_search_at_zero():
    J = np.array([[1.0, 0], [-1, 0], [0, 1]])
    assert minimise(J @ J.T, np.zeros(3), 1.0, floor=0.0).value == 0.0
