"""Tables with binary tasks: which arrays are refused."""

import numpy as np
import pytest

from gradsurgery.core.table import rows_of


def arrays(**changes):
    rng = np.random.default_rng(0)
    made = {
        "cardinalities": np.array([3, 5]), "train_continuous": rng.standard_normal((20, 2)).astype(np.float32),
        "train_nominal": rng.integers(0, 3, (20, 2)), "train_labels": rng.integers(0, 2, (20, 2)).astype(np.uint8),
    }  # fmt: skip
    return made | changes


def test_the_first_rows_with_numbers_before_categories():
    made = arrays()
    inputs, labels = rows_of(made, "train", 6)
    assert inputs.shape == (6, 4)
    assert np.array_equal(inputs[:, 2:], made["train_nominal"][:6])
    assert np.array_equal(labels, made["train_labels"][:6])
    assert len(rows_of(made, "train", 0)[0]) == 20


@pytest.mark.parametrize("wrong", [2, 255])
def test_labels_out_of_range_are_refused(wrong):
    made = arrays()
    made["train_labels"][13, 1] = wrong
    with pytest.raises(ValueError, match=f"`train_labels` must be 0 or 1, found {wrong}"):
        rows_of(made, "train", 0)


def test_labels_that_are_no_whole_numbers_are_refused():
    with pytest.raises(ValueError, match=r"`train_labels` must be 0 or 1, found 0\.5"):
        rows_of(arrays(train_labels=np.full((20, 2), 0.5)), "train", 0)


def test_categories_out_of_range_are_refused():
    made = arrays()
    made["train_nominal"][7, 0] = 3  # would read the first row of the next column's table
    with pytest.raises(ValueError, match="`train_nominal` must be below 3 in column 0, found 3"):
        rows_of(made, "train", 0)


def test_more_rows_than_there_are_is_refused():
    with pytest.raises(ValueError, match="`train_size` must be at most 20, found 21"):
        rows_of(arrays(), "train", 21)


def test_a_table_without_categories():
    inputs, _ = rows_of(arrays(cardinalities=np.array([]), train_nominal=np.empty((20, 0))), "train", 0)
    assert inputs.shape == (20, 2)
