"""Weights on the simplex: they sum to 1, lie evenly, repeat, and a larger count only adds."""

import numpy as np
import pytest

from gradsurgery.front_weights import front_weights


@pytest.mark.parametrize("num_tasks", [2, 3, 7])
def test_weights_sum_to_one_and_are_spread_evenly(num_tasks):
    found = front_weights(64, num_tasks)
    assert found.shape == (64, num_tasks)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-3)
    assert (found >= 0.0).all()
    np.testing.assert_allclose(found.mean(axis=0), 1.0 / num_tasks, atol=0.02)
    assert len(np.unique(found, axis=0)) == 64


def test_they_repeat_and_a_larger_count_only_adds():
    np.testing.assert_array_equal(front_weights(16, 3), front_weights(16, 3))
    np.testing.assert_array_equal(front_weights(16, 3), front_weights(32, 3)[:16])
    assert not np.array_equal(front_weights(16, 3), front_weights(16, 3, seed=1))


def test_they_are_uniform_on_the_simplex():
    # under the uniform distribution the first of three weights is above t with probability (1 - t)^2
    first = front_weights(1024, 3)[:, 0]
    for t in (0.2, 0.5, 0.8):
        assert (first > t).mean() == pytest.approx((1 - t) ** 2, abs=0.01)


@pytest.mark.parametrize(("count", "num_tasks", "name"), [(0, 3, "count = 0"), (4, 1, "num_tasks = 1")])
def test_impossible_counts_are_refused(count, num_tasks, name):
    with pytest.raises(ValueError, match=f"found {name}"):
        front_weights(count, num_tasks)
