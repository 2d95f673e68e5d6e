"""A ratio of sums and what each picture contributes to it; means over batches."""

import numpy as np
import pytest

from gradsurgery.dense.tasks import of_batches, of_ratio


def test_contributions_average_to_the_ratio():
    ratio, pulls = of_ratio(np.array([1.0, 3.0]), np.array([2.0, 4.0]))
    assert ratio == pytest.approx(4 / 6)
    # ratio + (above - ratio * below) / 3, with 3 the mean below
    assert pulls == pytest.approx([2 / 3 - 1 / 9, 2 / 3 + 1 / 9])
    assert pulls.mean() == pytest.approx(ratio)


def test_a_picture_as_good_as_the_others_pulls_nowhere_whatever_its_size():
    _, pulls = of_ratio(np.array([1, 50]), np.array([2, 100]))
    assert pulls == pytest.approx([0.5, 0.5])


def test_without_a_pixel_that_counts_there_is_no_ratio():
    ratio, pulls = of_ratio(np.zeros(2), np.zeros(2))
    assert np.isnan([ratio, *pulls]).all()


def test_means_over_batches_are_named_in_order_and_no_picture_contributes():
    assert of_batches({"mean": False, "within_30": True}, np.array([[1.0, 0.5], [3.0, 0.0]])) == (
        {"mean": 2.0, "within_30": 0.25}, {},
    )  # fmt: skip
