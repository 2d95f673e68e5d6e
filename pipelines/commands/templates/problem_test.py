"""Sketch: the splits, the labels of both tasks, and what is judged."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from gradsurgery.core.discovery import build
from gradsurgery.problems.sketch import TASKS, prepare

NETWORK = {"name": "mlp", "hidden": [16]}


@pytest.fixture(scope="module")
def raw():
    found = load_digits()
    return {"sketch": {"images": found["images"], "labels": found["target"]}}


@pytest.fixture(scope="module")
def arrays(raw):
    return prepare(raw, {"left": "sketch", "seed": 0})


def test_every_picture_lands_once_with_its_labels(raw, arrays):
    whole = {split: arrays[f"{split}_images"] for split in ("train", "val", "test")}
    assert {split: len(images) for split, images in whole.items()} == {"train": 899, "val": 359, "test": 539}
    found = np.concatenate([images.reshape(-1, 64) for images in whole.values()])
    theirs = raw["sketch"]["images"].reshape(-1, 64)
    np.testing.assert_array_equal(found[np.lexsort(found.T)], theirs[np.lexsort(theirs.T)])
    digit_of = {
        image.tobytes(): digit for image, digit in zip(theirs.astype(np.uint8), raw["sketch"]["labels"], strict=True)
    }
    for split, images in whole.items():
        digits = [digit_of[image.tobytes()] for image in images.reshape(-1, 64)]
        assert arrays[f"{split}_labels"].tolist() == [[digit, digit % 2] for digit in digits]


def test_an_epoch_shows_every_picture_once_in_an_order_of_its_own(arrays):
    problem = build("problems", "sketch", arrays=arrays, network=NETWORK, epochs=1, batch_size=29)
    first, second = (list(problem.batches(np.random.default_rng(seed), np.random.default_rng(9))) for seed in (0, 1))
    assert len(first) == 899 // 29
    assert not torch.equal(first[0][0], second[0][0])
    assert torch.equal(*(torch.cat([labels for _, labels in epoch]).sum(dim=0) for epoch in (first, second)))


def test_what_is_right_is_counted(arrays):
    problem = build("problems", "sketch", arrays=arrays, network=NETWORK, epochs=1, batch_size=29)
    network = problem.network(torch.Generator().manual_seed(0))
    found = problem.evaluate(network, "test")
    with torch.no_grad():
        outputs = network(torch.tensor(arrays["test_images"]).float() / 16.0)
    for k, task in enumerate(TASKS):
        right = outputs[k].argmax(dim=1).numpy() == arrays["test_labels"][:, k]
        assert found.metrics[f"{task}.accuracy"] == pytest.approx(right.mean())
