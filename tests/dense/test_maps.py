"""What is derived from CamVid's labels, and the splits."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gradsurgery.dense.maps import boundaries, derived, distances, prepared

RNG = np.random.default_rng(0)


def test_a_boundary_is_two_pixels_wide_and_void_makes_none():
    labels = np.array([[[0, 0, 1, 1, 1], [0, 0, 1, 1, 11], [2, 11, 1, 1, 11]]])
    expected = [[0, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]
    np.testing.assert_array_equal(boundaries(labels)[0], expected)


def test_distances_are_euclidean_in_tenths_and_end_at_the_limit():
    edges = (RNG.random((2, 30, 40)) < 0.003).astype(np.int8)
    edges[:, 3, 4] = 1
    grid = np.argwhere(np.ones((30, 40)))
    for found, one in zip(distances(edges), edges, strict=True):
        exact = cdist(grid, np.argwhere(one)).min(axis=1).reshape(30, 40)
        np.testing.assert_array_equal(found, np.rint(10 * np.minimum(exact, 20.0)))


def test_a_picture_without_a_boundary_is_far_from_any():
    assert (distances(np.zeros((1, 4, 4), np.int8)) == 200).all()


def test_void_counts_in_no_map():
    labels = RNG.integers(0, 12, (2, 8, 8))
    void = labels == 11
    for values in derived(labels).values():
        assert (values[void] == -1).all()
        assert (values[~void] >= 0).all()


def _raw(**rows):
    return {
        f"{split}_{name}": values
        for split, n in rows.items()
        for name, values in (
            ("images", np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 4, 6, 3))),
            ("labels", np.broadcast_to((np.arange(n) % 12).astype(np.uint8)[:, None, None], (n, 4, 6))),
        )
    }


def test_every_split_is_shuffled_by_the_seed_with_its_maps():
    raw = _raw(train=30, val=9, test=12)
    found, again = (prepared(raw, "camvid", seed) for seed in (0, 0))
    assert all(np.array_equal(found[name], again[name]) for name in found)
    assert sorted(found) == sorted(
        f"{split}_{name}" for split in ("train", "val", "test")
        for name in ("images", "segmentation", "boundary", "distance")
    )  # fmt: skip
    order = found["train_images"][:, 0, 0, 0].astype(int)
    assert sorted(order) == list(range(30))
    assert list(order) != list(range(30))
    np.testing.assert_array_equal(found["train_segmentation"][:, 0, 0], np.where(order % 12 == 11, -1, order % 12))
    assert not np.array_equal(order, prepared(raw, "camvid", 1)["train_images"][:, 0, 0, 0])


def test_without_a_validation_set_training_pictures_stand_in_and_stay():
    raw = {
        f"{split}_{name}": RNG.random((60, 4, 6, *rest)).astype(np.float32)
        for split in ("train", "test")
        for name, rest in (("images", (3,)), ("segmentation", ()), ("depth", (1,)), ("normal", (3,)))
    }
    found = prepared(raw, "nyuv2", 0)
    assert len(found["train_images"]) == 60
    for name in ("images", "segmentation", "depth", "normal"):
        np.testing.assert_array_equal(found[f"val_{name}"], found[f"train_{name}"][:50])


def test_maps_of_another_size_are_refused():
    raw = _raw(train=3, val=3, test=3) | {"val_labels": np.zeros((3, 4, 5), np.uint8)}
    with pytest.raises(ValueError, match=r"`val_labels` must be of as many pictures and of their size, \(3, 4, 6\)"):
        prepared(raw, "camvid", 0)
