"""CelebA: the published network, what is judged, and the twin's planted attributes."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from gradsurgery.core.discovery import build
from gradsurgery.problems.celeba import TASKS, f1, prepare, twin

_NETWORK = {"name": "celeba_cnn", "width": 2}


@pytest.fixture(scope="module")
def raw():
    return {"celeba_twin": twin(64, 16, 48, seed=0)}


@pytest.fixture(scope="module")
def arrays(raw):
    return prepare(raw, {"left": "celeba_twin", "seed": 0})


def test_the_network_has_the_parameters_of_the_paper():
    network = build("networks", "celeba_cnn")
    assert sum(p.numel() for p in network.shared_parameters()) == 5_176_640
    assert sum(p.numel() for p in network.heads.parameters()) == 40 * 513
    outputs = network(torch.zeros(2, 3, 64, 64))
    assert [output.shape for output in outputs] == [(2,)] * 40


def test_a_planted_attribute_is_its_patch(raw):
    images, labels = (raw["celeba_twin"][f"train_{kind}"] for kind in ("images", "labels"))
    for k in (0, 13, 39):
        row, column = divmod(k, 8)
        patch = images[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8, k % 3].mean(axis=(1, 2))
        assert ((patch > 95) == (labels[:, k] == 1)).all()
    assert 0 < labels[:, 0].mean() < 0.2 < 0.5 < labels[:, 39].mean() < 0.9


def test_splits_keep_their_pictures_and_labels_together(raw, arrays):
    for split in ("train", "val", "test"):
        before, after = (
            sorted(
                i.tobytes() + l.tobytes() for i, l in zip(own[f"{split}_images"], own[f"{split}_labels"], strict=True)
            )
            for own in (raw["celeba_twin"], arrays)
        )
        assert before == after
    assert not np.array_equal(arrays["train_images"], raw["celeba_twin"]["train_images"])
    with pytest.raises(ValueError, match=r"`train_images` must be \(N, 64, 64, 3\) with \(N, 40\) labels, found"):
        prepare({"x": {**raw["celeba_twin"], "train_labels": np.zeros((64, 39), np.uint8)}}, {"left": "x", "seed": 0})


@pytest.mark.parametrize(("judged", "higher"), [("f1", True), ("error", False)])
def test_f1_is_scikit_learns_and_the_examples_add_up_to_the_error(arrays, judged, higher):
    problem = build("problems", "celeba", arrays=arrays, network=_NETWORK, epochs=1, batch_size=8, judged=judged)
    assert problem.metrics == {f"{task}.{judged}": higher for task in TASKS}
    network = problem.network(torch.Generator().manual_seed(1)).eval()
    found = problem.evaluate(network, "test")
    with torch.no_grad():
        images = torch.from_numpy(arrays["test_images"]).permute(0, 3, 1, 2) / 255
        said = torch.stack(network(images)).numpy() > 0
    for k, task in enumerate(TASKS):
        truth = arrays["test_labels"][:, k]
        assert found.metrics[f"{task}.f1"] == pytest.approx(f1_score(truth, said[k], zero_division=0.0))
        assert found.metrics[f"{task}.error"] == pytest.approx((truth != said[k]).mean())
        assert found.examples[f"{task}.error"].mean() == pytest.approx(found.metrics[f"{task}.error"])
    assert any(said[k].any() for k in range(40))


def test_f1_without_positives_is_zero():
    none, all_ = np.zeros(3, bool), np.ones(3, bool)
    assert (f1(none, none), f1(all_, none), f1(all_, all_)) == (0.0, 0.0, 1.0)


def test_a_batch_goes_with_its_labels(arrays):
    problem = build("problems", "celeba", arrays=arrays, network=_NETWORK, epochs=1, batch_size=8)
    batches = list(problem.batches(np.random.default_rng(0), np.random.default_rng(1)))
    assert len(batches) == 8
    known = {i.tobytes(): l.tolist() for i, l in zip(arrays["train_images"], arrays["train_labels"], strict=True)}
    seen = [
        (i.numpy().tobytes(), l.tolist()) for images, labels in batches for i, l in zip(images, labels, strict=True)
    ]
    assert len({image for image, _ in seen}) == 64
    assert all(known[image] == labels for image, labels in seen)
