"""Worked examples, and the conventions for gradients that vanish."""

import numpy as np
import pytest

from gradsurgery.core.conflict import (
    conflict_share,
    deviation,
    diagnose,
    magnitude_similarity,
    mean_cosine,
    worst_alignment,
)


def of(J, d):
    J, d = np.array(J, float), np.array(d, float)
    return J @ J.T, J @ d, float(np.linalg.norm(d))


def test_three_gradients_by_hand():
    J = [[1, 0], [-1, 0], [0, 2]]
    G, gains, norm = of(J, [0, 1])
    assert conflict_share(G) == pytest.approx(1 / 3)  # only the first two conflict
    assert mean_cosine(G) == pytest.approx(-1 / 3)
    assert magnitude_similarity(G) == pytest.approx((1 + 0.8 + 0.8) / 3)
    assert deviation(G, gains, norm) == pytest.approx(0.0, abs=1e-7)  # g0 = (0, 2/3)
    assert worst_alignment(G, gains, norm) == pytest.approx(0.0)


def test_deviation_is_the_distance_after_scaling_to_the_mean_gradient():
    rng = np.random.default_rng(0)
    J, d = rng.normal(size=(4, 9)), rng.normal(size=9)
    g0 = J.mean(0)
    scaled = d / np.linalg.norm(d) * np.linalg.norm(g0)
    expected = np.linalg.norm(scaled - g0) / np.linalg.norm(g0)
    assert deviation(*of(J, d)) == pytest.approx(expected)
    assert deviation(*of(J, 7 * d)) == pytest.approx(expected)
    assert deviation(*of(J, -g0)) == pytest.approx(2.0)


def test_worst_alignment_is_the_smallest_cosine():
    rng = np.random.default_rng(1)
    J, d = rng.normal(size=(4, 9)), rng.normal(size=9)
    cosines = J @ d / np.linalg.norm(J, axis=1) / np.linalg.norm(d)
    assert worst_alignment(*of(J, d)) == pytest.approx(cosines.min())


@pytest.mark.parametrize("J", [[[0, 0], [0, 0]], [[0, 0], [1, 2]], [[1, 0], [-1, 0]], [[3, 4]], [[0, 0]]])
@pytest.mark.parametrize("d", [[0, 0], [1, 1]])
def test_nothing_is_ever_nan(J, d):
    assert np.isfinite(list(diagnose(*of(J, d)).values())).all()


def test_a_task_without_a_gradient_neither_agrees_nor_conflicts():
    numbers = diagnose(*of([[0, 0], [1, 0]], [1, 0]))
    assert numbers == pytest.approx(
        {"conflict_share": 0, "mean_cosine": 0, "magnitude_similarity": 0, "deviation": 0, "worst_alignment": 0},
        abs=1e-7,
    )


def test_a_vanishing_direction_deviates_by_the_whole_mean_gradient():
    assert deviation(*of([[1, 0], [1, 0]], [0, 0])) == 1.0
