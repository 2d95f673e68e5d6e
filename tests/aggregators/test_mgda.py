"""MGDA against closed forms, its optimality conditions and torchjd."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradsurgery.aggregators.mgda import MGDA
from tests.contracts import direction, generator


def weights(J):
    return MGDA()(J @ J.T, None, generator())[0]


@pytest.mark.parametrize(
    ("J", "d"),
    [
        ([[-4, 1, 1], [6, 1, 1]], [0, 1, 1]),
        ([[1, 0], [-1, 1]], [0.2, 0.4]),
        ([[1, 0], [3, 0]], [1, 0]),
        ([[1, 2], [0, 0]], [0, 0]),
        ([[1, 2], [1, 2], [1, 2]], [1, 2]),
        ([[3, 0, 0], [0, 3, 0], [0, 0, 3]], [1, 1, 1]),
        ([[1, 0], [-0.5, 1], [-0.5, -1]], [0, 0]),
        ([[2, 0], [0, 2], [5, 5]], [1, 1]),
        ([[1, 2]], [1, 2]),
    ],
)
def test_hand_worked(J, d):
    J = np.array(J, dtype=float)
    assert weights(J) @ J == pytest.approx(d, abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(
    K=st.integers(1, 12), P=st.integers(1, 12), seed=st.integers(0, 10**6), exponent=st.integers(-6, 6),
    twin=st.booleans(),
)  # fmt: skip
def test_is_the_shortest_vector_of_the_hull(K, P, seed, exponent, twin):
    J = generator(seed).standard_normal((K, P)) * 10.0**exponent
    if twin:
        J[-1] = J[0]
    w = weights(J)
    d = w @ J
    unit = np.trace(J @ J.T) / K
    assert w.min() >= 0.0
    assert w.sum() == pytest.approx(1.0)
    assert (J @ d).min() >= d @ d - 1e-9 * unit
    assert (J @ d)[w > 1e-9] == pytest.approx(d @ d, abs=1e-9 * unit)
    assert weights(J[::-1]) @ J[::-1] == pytest.approx(d, abs=1e-6 * np.sqrt(unit))


@pytest.mark.parametrize("P", [5, 40, 200])
def test_forty_tasks(P):
    J = generator(P).standard_normal((40, P))
    d = weights(J) @ J
    assert (J @ d).min() >= d @ d - 1e-9 * P


def test_torchjd_comes_near():
    """Frank-Wolfe stops at a tolerance; ours is at least as short."""
    peer = pytest.importorskip("torchjd.aggregation").MGDA(epsilon=1e-6, max_iters=5000)
    for seed in range(10):
        J = torch.from_numpy(generator(seed).standard_normal((3, 5)))
        ours, theirs = direction(MGDA(), J), peer(J)
        assert ours.norm() <= theirs.norm() + 1e-12
        assert torch.allclose(ours, theirs, atol=5e-2)
