"""Splits, scales and counts of pictures, each on a handful made by hand."""

import math

import numpy as np
import pytest
import torch

from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import (
    check_cifar,
    first,
    judge,
    permutation,
    splits_of,
    standardised,
    tenth_of_each,
)


def test_a_tenth_of_every_class_is_taken_in_the_order_given():
    labels = np.array([0, 1] * 19 + [0], np.uint8)  # 20 of class 0 and 19 of class 1
    assert np.flatnonzero(tenth_of_each(labels)).tolist() == [0, 1, 2]


def test_a_permutation_is_the_order_of_the_words_and_moves_them_on():
    words, same = np.random.Philox(3), np.random.Philox(3).random_raw(10)
    found = permutation(words, 5)
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert (np.diff(same[:5][found].astype(float)) > 0).all()
    assert words.random_raw(1)[0] == same[5]


def test_the_first_rows_are_taken_and_0_means_all():
    arrays = {"val_labels": np.array([7, 8, 9])}
    assert first(arrays, "val_labels", 2).tolist() == [7, 8]
    assert first(arrays, "val_labels", 0).tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match="`val_size` must be at most 3, found 4"):
        first(arrays, "val_labels", 4)


def test_without_arrays_there_are_no_splits():
    assert splits_of({}, {"train": 5, "test": 0}, 2) == {}


@pytest.mark.parametrize("shape", [(2, 32, 32), (2, 3, 32, 32), (3, 32, 32, 3)])
def test_what_are_no_colour_pictures_with_a_label_each_is_refused(shape):
    good = np.zeros((2, 32, 32, 3), np.uint8), np.zeros(2, np.uint8)
    source = {"train_images": good[0], "train_labels": good[1], "test_images": good[0], "test_labels": good[1]}
    check_cifar(source)
    with pytest.raises(ValueError, match=r"`test_images` must be \(N, 32, 32, 3\) with N labels, found"):
        check_cifar({**source, "test_images": np.zeros(shape, np.uint8)})


def test_bytes_become_numbers_by_mean_and_standard_deviation():
    picture = torch.tensor([[[255, 0]]], dtype=torch.uint8)
    assert standardised(picture, (0.5, 0.25), (0.25, 0.5)).tolist() == [[[2.0, -0.5]]]


class Dropped(Network):
    """Only its mode matters here."""

    def forward(self, inputs):
        return (inputs,)

    def shared_parameters(self):
        return []


def test_hits_and_losses_are_counted_over_all_batches():
    network, modes = Dropped(), []
    even, sure = torch.zeros(1, 2), torch.tensor([[0.0, 100.0]])

    def answers():
        for scores, truth in ((torch.cat([sure, even]), [1, 0]), (sure, [0])):
            modes.append(network.training)
            yield [scores], [torch.tensor(truth)]

    found = judge(network, ["a"], answers())
    assert found.metrics["a.accuracy"] == pytest.approx(2 / 3)
    assert found.metrics["a.loss"] == pytest.approx((0 + math.log(2) + 100) / 3)
    assert found.examples["a.accuracy"].tolist() == [True, True, False]
    assert modes == [False, False]
    assert network.training


def test_an_output_that_is_nan_is_no_hit():
    scores = torch.tensor([[math.nan, 0.0], [1.0, 0.0]])
    found = judge(Dropped(), ["a", "b"], [([scores, torch.eye(2)], [torch.tensor([0, 0]), torch.tensor([0, 1])])])
    assert math.isnan(found.metrics["a.accuracy"])
    assert found.metrics["b.accuracy"] == 1.0
