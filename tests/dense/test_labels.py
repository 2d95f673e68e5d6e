"""Classes, boundaries and distances: losses and numbers against torchmetrics, scikit-learn and cases made by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

from gradsurgery.dense.labels import IGNORED, Boundary, Distance, Segmentation
from gradsurgery.dense.tasks import of_ratio

RNG = np.random.default_rng(0)


def _concluded(task, output, truth, size=2):
    parts = [task.tally(output[i : i + size], truth[i : i + size]).numpy() for i in range(0, len(truth), size)]
    return task.conclude(np.concatenate(parts))


@pytest.fixture
def labelled():
    """Five small pictures with six classes, of which one occurs nowhere, and with pixels that do not count."""
    truth = torch.from_numpy(RNG.integers(0, 5, (5, 7, 9)))
    truth[RNG.random(truth.shape) < 0.2] = IGNORED
    truth[0, :5] = IGNORED
    output = torch.from_numpy(RNG.standard_normal((5, 6, 7, 9))).float()
    output[:, 5] -= 100.0
    return output, truth.to(torch.int8)


def test_both_metrics_are_torchmetrics_of_one_confusion_matrix_over_the_set(labelled):
    output, truth = labelled
    found, _ = _concluded(Segmentation(6), output, truth)
    answers, labels = output.argmax(dim=1), truth.long()
    expected = multiclass_jaccard_index(answers, labels, 6, ignore_index=IGNORED)
    assert found["miou"] == pytest.approx(float(expected))
    expected = multiclass_accuracy(answers, labels, 6, average="micro", ignore_index=IGNORED)
    assert found["pixel_accuracy"] == pytest.approx(float(expected))
    one_by_one = [_concluded(Segmentation(6), output[i : i + 1], truth[i : i + 1])[0]["miou"] for i in range(5)]
    assert found["miou"] != pytest.approx(np.mean(one_by_one), rel=1e-3)


def test_a_class_that_is_answered_and_never_true_counts_as_nought():
    truth = torch.zeros(1, 1, 4, dtype=torch.int8)
    output = torch.zeros(1, 3, 1, 4)
    output[0, 1, 0, :1] = 1.0
    assert _concluded(Segmentation(3), output, truth)[0]["miou"] == pytest.approx((3 / 4 + 0) / 2)


def test_pictures_contribute_to_the_pixel_accuracy_and_not_to_miou(labelled):
    found, pulls = _concluded(Segmentation(6), *labelled)
    assert set(pulls) == {"pixel_accuracy"}
    assert pulls["pixel_accuracy"].mean() == pytest.approx(found["pixel_accuracy"])


def test_the_loss_is_a_mean_over_the_pixels_that_count(labelled):
    output, truth = labelled
    expected = torch.nn.functional.cross_entropy(output, truth.long(), ignore_index=IGNORED)
    assert torch.allclose(Segmentation(6).loss(output, truth), expected)
    assert Segmentation(6).loss(output, torch.full_like(truth, IGNORED)) == 0.0


def test_the_loss_flattens_its_targets_which_cuda_wants_in_deterministic_mode(labelled, monkeypatch):
    seen = []
    whole = torch.nn.functional.cross_entropy
    monkeypatch.setattr(
        "gradsurgery.dense.labels.cross_entropy", lambda *a, **k: (seen.append(a[1].ndim), whole(*a, **k))[1]
    )
    Segmentation(6).loss(*labelled)
    assert seen == [1]


def test_boundary_error_is_the_mean_of_both_error_rates():
    truth = torch.tensor([[[1, 1, 0, 0, 0, IGNORED]], [[1, 1, 0, 0, 0, 0]]], dtype=torch.int8)
    output = torch.tensor([[[[1.0, -1, 1, -1, -1, 1]]], [[[1.0, 1, -1, -1, -1, -1]]]])
    found, pulls = _concluded(Boundary(), output, truth)
    assert found["error"] == pytest.approx((1 / 4 + 1 / 7) / 2)
    assert pulls["error"].mean() == pytest.approx(found["error"])
    for same in (5.0, -5.0):
        assert _concluded(Boundary(), torch.full_like(output, same), truth)[0]["error"] == 0.5


def test_boundary_loss_weighs_few_as_much_as_many():
    truth = torch.tensor([[[1, 0, 0, 0, IGNORED]]], dtype=torch.int8)
    output = torch.tensor([[[[2.0, 0.0, 0.0, 0.0, 50.0]]]])
    expected = (np.log1p(np.exp(-2.0)) + np.log(2.0)) / 2
    assert float(Boundary().loss(output, truth)) == pytest.approx(expected)


def test_distances_are_trained_in_limits_and_told_in_pixels():
    truth = torch.tensor([[[0, 100, IGNORED]], [[200, 200, 200]]], dtype=torch.int16)  # 0, 10 and 20 pixels
    output = torch.tensor([[[[0.1, 0.5, 9.0]]], [[[1.0, 0.9, 0.8]]]])
    task = Distance(20.0, 0.1)
    assert float(task.loss(output, truth)) == pytest.approx((0.1 + 0.0 + 0.0 + 0.1 + 0.2) / 5)
    found, pulls = _concluded(task, output, truth)
    assert found["mae"] == pytest.approx(20 * 0.4 / 5)
    assert pulls["mae"].mean() == pytest.approx(found["mae"])


def test_a_ratio_is_pulled_by_what_is_better_or_worse_and_not_by_what_is_large():
    ratio, pulls = of_ratio(np.array([5.0, 50.0, 30.0]), np.array([10.0, 100.0, 40.0]))
    assert ratio == pytest.approx(85 / 150)
    assert pulls.mean() == pytest.approx(ratio)
    same, even = of_ratio(np.array([1.0, 100.0]), np.array([2.0, 200.0]))
    np.testing.assert_allclose(even, same)


def test_the_spread_of_a_ratio_is_that_of_redrawn_pictures():
    seen = RNG.integers(50, 400, 300).astype(float)
    right = RNG.binomial(seen.astype(int), RNG.beta(8, 4, 300)).astype(float)
    _, pulls = of_ratio(right, seen)
    rows = RNG.integers(0, 300, (4000, 300))
    redrawn = right[rows].sum(axis=1) / seen[rows].sum(axis=1)
    assert pulls.std() / 300**0.5 == pytest.approx(redrawn.std(), rel=0.05)


def test_nothing_to_count_is_no_number():
    assert np.isnan(of_ratio(np.zeros(2), np.zeros(2))[0])
