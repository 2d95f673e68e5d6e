"""Rendered rooms and streets: their maps agree with each other, and with what a camera would see."""

import numpy as np
import pytest

from gradsurgery.dense.rooms import WORLDS, render


@pytest.fixture(scope="module", params=WORLDS)
def made(request):
    return request.param, render(request.param, 48, 64, 12, 2, 3, 0)


def _points(depth):
    """Where every pixel lies, in the camera's axes."""
    height, width = depth.shape[1:]
    x = (np.arange(width) + 0.5 - width / 2) / (0.6 * width)
    y = (np.arange(height) + 0.5 - height / 2) / (0.6 * width)
    rays = np.stack([*np.broadcast_arrays(x[None, :], y[:, None]), np.ones((height, width))], axis=-1)
    return rays, depth[..., None] * rays


def test_shapes_ranges_and_kinds(made):
    scene, arrays = made
    assert ("train_normal" in arrays) == (scene == "nyuv2")
    for split, n in (("train", 12), ("val", 2), ("test", 3)):
        assert arrays[f"{split}_images"].shape == (n, 48, 64, 3)
        assert arrays[f"{split}_images"].dtype == np.uint8
        labels = arrays[f"{split}_segmentation"]
        assert labels.dtype == np.int8
        assert 0 <= labels.min() <= labels.max() < WORLDS[scene].classes
    assert len(np.unique(arrays["train_segmentation"])) >= WORLDS[scene].classes - 2
    assert np.std(arrays["train_images"].reshape(12, -1).mean(axis=1)) > 1  # no two are the same picture


def test_rooms_are_planes_that_face_the_camera_at_the_depth_they_have():
    arrays = render("nyuv2", 48, 64, 12, 1, 1, 3)
    depth, normal = arrays["train_depth"][..., 0].astype(float), arrays["train_normal"].astype(float)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=-1), 1.0, atol=1e-6)
    rays, points = _points(depth)
    assert ((normal * rays).sum(axis=-1) < 0).all()
    for axis in (1, 2):
        step, other = np.diff(points, axis=axis), np.diff(normal, axis=axis)
        here = np.take(normal, range(normal.shape[axis] - 1), axis)
        labels = np.diff(arrays["train_segmentation"].astype(int), axis=axis)
        same = (np.abs(other).max(axis=-1) < 1e-6) & (labels == 0)
        off = np.abs((here * step).sum(axis=-1))[same]
        assert same.mean() > 0.9
        assert np.mean(off < 1e-4) > 0.97  # the rest: two parallel faces of one class, one before the other
    swapped = np.abs((normal[..., [2, 1, 0]][:, :, :-1] * np.diff(points, axis=2)).sum(axis=-1))
    assert np.mean(swapped < 1e-4) < 0.6  # the check can fail


def test_the_sky_alone_has_no_depth_and_the_ground_comes_nearer_downwards():
    arrays = render("cityscapes", 48, 64, 12, 1, 1, 3)
    inverse, labels = arrays["train_depth"][..., 0], arrays["train_segmentation"]
    assert ((inverse == 0) == (labels == 4)).all()
    assert (labels[:, -1] != 4).all()
    flat = (labels[:, 1:] == 0) & (labels[:, :-1] == 0)
    assert flat.any()
    assert (np.diff(inverse, axis=1)[flat] > 0).all()


def test_a_seed_is_a_world_of_its_own_and_makes_it_again():
    one, again, other = (render("nyuv2", 24, 32, 2, 1, 1, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["train_depth"], other["train_depth"])
    assert not np.array_equal(one["train_depth"][0], one["train_depth"][1])
