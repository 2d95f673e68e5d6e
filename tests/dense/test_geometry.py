"""Depth and normals: losses and the published, batch-wise metrics on cases made by hand."""

import numpy as np
import pytest
import torch

from gradsurgery.dense.geometry import Depth, Normals


def _concluded(task, output, truth, size):
    parts = [task.tally(output[i : i + size], truth[i : i + size]).numpy() for i in range(0, len(truth), size)]
    return task.conclude(np.concatenate(parts))[0]


DEPTH = torch.tensor([[[2.0], [0.0]], [[1.0], [4.0]], [[5.0], [5.0]]]).view(3, 1, 2, 1)
GUESS = torch.tensor([[3.0, 7.0], [1.5, 4.0], [5.0, 10.0]]).view(3, 1, 1, 2)


def test_depth_where_it_is_known():
    assert float(Depth().loss(GUESS, DEPTH)) == pytest.approx((1.0 + 0.5 + 0.0 + 0.0 + 5.0) / 5)


def test_depth_metrics_are_means_over_batches_and_depend_on_their_size():
    found = _concluded(Depth(), GUESS, DEPTH, 1)
    assert found["absolute_error"] == pytest.approx((1.0 + 0.25 + 2.5) / 3)
    assert found["relative_error"] == pytest.approx((0.5 + 0.25 + 0.5) / 3)
    found = _concluded(Depth(), GUESS, DEPTH, 2)
    assert found["absolute_error"] == pytest.approx((1.5 / 3 + 2.5) / 2)
    assert found["relative_error"] == pytest.approx(((0.5 + 0.5) / 3 + 0.5) / 2)


def _turned(*degrees):
    """Unit vectors so far from the z axis."""
    angles = np.deg2rad(degrees)
    return torch.tensor(np.stack([np.sin(angles), np.zeros_like(angles), np.cos(angles)], axis=-1)).float()


def test_normals_by_angle_with_unknown_ones_left_out():
    truth = _turned(0, 0, 0, 0, 0).view(1, 1, 5, 3).clone()
    truth[0, 0, 4] = 0.0
    output = 3.0 * _turned(5, 20, 25, 60, 90).T.reshape(1, 3, 1, 5)
    found = _concluded(Normals(), output, truth, 1)
    assert found["mean"] == pytest.approx(27.5, abs=1e-3)
    assert found["median"] == pytest.approx(20.0, abs=1e-3)  # torch's median: the lower of the two in the middle
    assert (found["within_11"], found["within_22"], found["within_30"]) == (0.25, 0.5, 0.75)
    expected = 1.0 - np.cos(np.deg2rad([5, 20, 25, 60])).mean()
    assert float(Normals().loss(output, truth)) == pytest.approx(expected, abs=1e-6)


def test_normal_metrics_are_means_over_batches():
    truth = _turned(0, 0, 0).view(3, 1, 1, 3)
    output = _turned(10, 20, 60).view(3, 1, 1, 3).permute(0, 3, 1, 2)
    assert _concluded(Normals(), output, truth, 2)["mean"] == pytest.approx((15.0 + 60.0) / 2, abs=1e-3)
    assert _concluded(Normals(), output, truth, 1)["median"] == pytest.approx(30.0, abs=1e-3)


def test_an_output_exactly_at_the_truth_has_an_angle_and_a_gradient():
    truth = _turned(0).view(1, 1, 1, 3)
    output = (7.0 * truth.permute(0, 3, 1, 2)).requires_grad_()
    assert _concluded(Normals(), output.detach(), truth, 1)["mean"] < 0.1
    (gradient,) = torch.autograd.grad(Normals().loss(output, truth), output)
    assert gradient.isfinite().all()


def test_a_batch_without_a_known_pixel_costs_nothing():
    for task, truth, output in (
        (Depth(), torch.zeros(1, 2, 2, 1), torch.ones(1, 1, 2, 2)),
        (Normals(), torch.zeros(1, 2, 2, 3), torch.ones(1, 3, 2, 2)),
    ):
        assert float(task.loss(output, truth)) in (0.0, 1.0)
        assert np.isfinite(list(_concluded(task, output, truth, 1).values())).all()
