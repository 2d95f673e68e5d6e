"""Classification in memory: the order of an epoch, what is left out, and what is judged."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from gradsurgery.core.classification import Labelled
from gradsurgery.core.training import Training
from gradsurgery.networks.mlp import MLP

rng = np.random.default_rng(0)
ARRAYS = {
    f"{split}_images": rng.integers(0, 256, (n, 6)).astype(np.uint8)
    for split, n in (("train", 10), ("val", 5), ("test", 7))
}
ARRAYS |= {
    f"{split}_labels": (np.arange(n) % 3).astype(np.uint8) for split, n in (("train", 10), ("val", 5), ("test", 7))
}


class Twice(Labelled):
    chunk = 3

    def answers(self, network, images, labels):
        return network(images.float() / 255), [labels, 2 - labels]


def _problem(arrays):
    own = {"num_tasks": 2, "num_classes": 3, "in_features": 6}
    training = Training(epochs=1, batch_size=4, lr=0.1)
    return Twice(arrays, ("a", "b"), {"name": "mlp", "hidden": [5]}, own, training)


def test_an_epoch_is_whole_batches_in_the_order_of_its_generator():
    problem = _problem(ARRAYS)
    batches = list(problem.batches(np.random.default_rng(3), np.random.default_rng(0)))
    order = np.random.default_rng(3).permutation(10)
    assert [len(labels) for _, labels in batches] == [4, 4]
    for k, (images, labels) in enumerate(batches):
        rows = order[4 * k : 4 * k + 4]
        assert images.dtype == torch.uint8
        assert torch.equal(images, torch.from_numpy(ARRAYS["train_images"][rows]))
        assert labels.tolist() == ARRAYS["train_labels"][rows].tolist()


def test_what_is_judged_is_the_whole_split():
    problem = _problem(ARRAYS)
    assert problem.test_rows == 7
    assert problem.metrics == {"a.accuracy": True, "b.accuracy": True}
    network = problem.network(torch.Generator().manual_seed(0))
    found = problem.evaluate(network, "test").metrics
    images, labels = torch.from_numpy(ARRAYS["test_images"]), torch.from_numpy(ARRAYS["test_labels"]).long()
    with torch.no_grad():
        outputs = network(images.float() / 255)
    for task, output, truth in zip("ab", outputs, (labels, 2 - labels), strict=True):
        assert found[f"{task}.loss"] == pytest.approx(cross_entropy(output, truth).item())
        assert found[f"{task}.accuracy"] == pytest.approx((output.argmax(1) == truth).double().mean().item())
    losses = problem.losses(network, (images, labels))
    assert [loss.item() for loss in losses] == pytest.approx([found["a.loss"], found["b.loss"]])


def test_without_arrays_only_settings_are_checked():
    assert _problem({}).test_rows is None
    assert isinstance(_problem({}).network(torch.Generator()), MLP)
