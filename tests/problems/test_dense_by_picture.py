"""Segmentation as MTAN judged it until November 2020: by hand, against the formula of today, and in a step."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.core.seeding import Generators
from gradsurgery.dense.labels import Segmentation
from gradsurgery.dense.pictures import SegmentationByPicture

RNG = np.random.default_rng(0)


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


def test_a_problem_trains_and_is_judged_by_picture():
    maps = {"segmentation": (32, 32), "depth": (32, 32, 1)}
    arrays = {}
    for split, n in (("train", 4), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = RNG.random((n, 32, 32, 3)).astype(np.float32)
        arrays[f"{split}_segmentation"] = RNG.integers(-1, 7, (n, *maps["segmentation"])).astype(np.int8)
        arrays[f"{split}_depth"] = RNG.uniform(0.5, 9, (n, *maps["depth"])).astype(np.float32)
    settings = {"scene": "cityscapes", "network": {"name": "segnet", "width": 1}, "epochs": 1, "batch_size": 2}
    own, today = (build("problems", name, arrays=arrays, **settings) for name in ("dense_by_picture", "dense"))
    network, generators = own.network(torch.Generator().manual_seed(0)), Generators(0)
    batches = list(own.batches(generators.order, generators.augmentation))
    losses = own.losses(network, batches[0])
    assert [a.item() for a in losses] == [b.item() for b in today.losses(network, batches[0])]
    ours, theirs = own.evaluate(network, "test"), today.evaluate(network, "test")
    assert set(ours.metrics) == set(theirs.metrics)
    assert ours.metrics["segmentation.miou"] != theirs.metrics["segmentation.miou"]
    assert ours.metrics["depth.absolute_error"] == theirs.metrics["depth.absolute_error"]
    assert ours.examples["segmentation.miou"].shape == (3,)
