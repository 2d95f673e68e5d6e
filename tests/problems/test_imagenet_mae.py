"""Masked reconstruction of large pictures: batches, what is judged, and the schedule."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.problems._album import IMAGENET_MEAN, IMAGENET_SD, twin
from gradsurgery.problems._holes import MaskedTraining, holes_of, judge
from gradsurgery.problems.imagenet_mae import prepare

_NETWORK = {"name": "masked_autoencoder", "width": 16, "heads": 4, "depth": 1}
_SETTINGS = {"network": _NETWORK, "epochs": 1, "num_classes": 4, "size": 96, "batch_size": 8, "classify": True}


@pytest.fixture(scope="module")
def arrays():
    return prepare({"x": twin(4, 96, 96, 6, 3, seed=0)}, {"left": "x", "seed": 0, "held": 2, "patches": 9})


def test_evaluation_is_the_mean_of_its_examples_and_of_the_classes(arrays):
    problem = build("problems", "imagenet_mae", arrays=arrays, **_SETTINGS)
    assert problem.metrics == {"l1.loss": False, "ssim.loss": False, "classification.accuracy": True}
    network = problem.network(torch.Generator().manual_seed(0))
    found = problem.evaluate(network, "test")
    for name in problem.metrics:
        assert found.metrics[name] == pytest.approx(found.examples[name].mean())
    assert found.examples["classification.accuracy"].dtype == bool
    images, holes = torch.from_numpy(arrays["test_images"]), holes_of(arrays["test_patches"], 7)  # 0.75 of 9, rounded
    with torch.no_grad():
        error, similarity, scores = judge(network.eval(), images, holes, IMAGENET_MEAN, IMAGENET_SD)
    truth = torch.from_numpy(arrays["test_labels"].astype(np.int64))
    assert found.metrics["l1.loss"] == pytest.approx(float(error.mean()), rel=1e-4)
    assert found.metrics["ssim.loss"] == pytest.approx(1 - float(similarity.mean()), rel=1e-4)
    assert found.metrics["classification.loss"] == pytest.approx(
        float(torch.nn.functional.cross_entropy(scores, truth)), rel=1e-4
    )
    plain = build("problems", "imagenet_mae", arrays=arrays, **_SETTINGS | {"classify": False})
    assert plain.tasks == ("l1", "ssim")
    batch = next(plain.batches(np.random.default_rng(0), np.random.default_rng(1)))
    assert len(plain.losses(plain.network(torch.Generator().manual_seed(0)), batch)) == 2


def test_batches_have_fresh_holes_and_every_picture_once(arrays):
    problem = build("problems", "imagenet_mae", arrays=arrays, **_SETTINGS)
    batches = list(problem.batches(np.random.default_rng(0), np.random.default_rng(1)))
    known = {
        image.tobytes(): label for image, label in zip(arrays["train_images"], arrays["train_labels"], strict=True)
    }
    for images, holes, labels in batches:
        assert holes.sum(dim=(1, 2)).tolist() == [7] * 8
        assert [known.pop(image.numpy().tobytes()) for image in images] == labels.tolist()
    assert not known
    assert not torch.equal(batches[0][1], batches[1][1])


def test_the_rate_warms_up_and_falls_to_its_end():
    training = MaskedTraining(epochs=15, warmup=2, lr=1.0, lr_end=0.005)
    shares = [training.share_of(epoch) for epoch in range(15)]
    assert shares[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert shares[14] == pytest.approx(0.005)
    assert shares[8] == pytest.approx((1 + 0.005) / 2)
    assert all(a > b for a, b in pairwise(shares[2:]))
    problem = build("problems", "imagenet_mae", arrays={}, **_SETTINGS | {"epochs": 15, "warmup": 2})
    optimizer = problem.optimizer([torch.nn.Parameter(torch.zeros(1))])
    assert optimizer.defaults["betas"] == (0.9, 0.95)
    assert problem.scheduler(optimizer).get_last_lr()[0] == pytest.approx(2e-4 / 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 64}, "`size` must be that of 9 prepared patches in val, found size = 64"),
        ({"hidden": 0.01}, "`hidden` must leave 1 to 9 patches hidden, found hidden = 0.01"),
        ({"betas": [0.9]}, "`betas` must be two numbers from 0 to below 1"),
        ({"warmup": 2}, "`warmup` must be at most 1, found warmup = 2"),
        ({"network": {"name": "mtan"}}, "network|mtan"),
    ],
)
def test_what_is_wrong_is_said(arrays, changes, message):
    with pytest.raises(ValueError, match=message):
        build("problems", "imagenet_mae", arrays=arrays, **_SETTINGS | changes)
