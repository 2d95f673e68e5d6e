"""Segmentation judged picture by picture: worked by hand, beside today's formula."""

import pytest
import torch

from gradsurgery.dense.labels import Segmentation
from gradsurgery.dense.pictures import SegmentationByPicture


def found(task, answers, truth):
    output = torch.nn.functional.one_hot(torch.tensor(answers), 3).permute(0, 3, 1, 2).float()
    return task.conclude(task.tally(output, torch.tensor(truth)).numpy())


def test_by_hand():
    """Picture 1: class 0 is 1 of 2 and class 1 is 1 of 3, as an answer without a label counts in its union, and class 2
    occurs nowhere; 2 of 3 labels are right. Picture 2 is right in its one class."""
    answers, truth = [[[0, 0, 1, 1]], [[2, 2, 2, 2]]], [[[0, 1, 1, -1]], [[2, 2, 2, 2]]]
    metrics, pulls = found(SegmentationByPicture(3), answers, truth)
    assert metrics["miou"] == pytest.approx(((1 / 2 + 1 / 3) / 2 + 1) / 2)
    assert metrics["pixel_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert {name: values.mean() for name, values in pulls.items()} == pytest.approx(metrics)
    today, _ = found(Segmentation(3), answers, truth)
    assert today["miou"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3), "one matrix over the set, labelled pixels only"


def test_a_picture_without_a_label_has_accuracy_nought_and_is_counted():
    metrics, pulls = found(SegmentationByPicture(3), [[[0, 0]], [[1, 1]]], [[[-1, -1]], [[1, 1]]])
    assert pulls["pixel_accuracy"].tolist() == [0.0, 1.0]
    assert pulls["miou"].tolist() == [0.0, 1.0]  # what is answered there belongs to a union without an intersection
    assert metrics == {"miou": 0.5, "pixel_accuracy": 0.5}
