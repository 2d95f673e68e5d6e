"""Pictures and their maps change together, and keep their meaning."""

import numpy as np
import pytest

from gradsurgery.dense.augment import ZOOMS, Change, changed, draw

RNG = np.random.default_rng(0)


def test_a_swap_turns_all_maps_round_and_normals_face_the_other_way():
    normals = RNG.standard_normal((4, 6, 3)).astype(np.float32)
    swapped = changed("normal", normals, Change(swap=True)).numpy()
    np.testing.assert_array_equal(swapped, normals[:, ::-1] * np.float32([-1, 1, 1]))
    for name, values in (("image", normals), ("segmentation", RNG.integers(-1, 5, (4, 6)).astype(np.int8))):
        found = changed(name, values, Change(swap=True)).numpy()
        np.testing.assert_array_equal(found, values[:, ::-1])
        assert found.dtype == values.dtype


@pytest.mark.parametrize("zoom", ZOOMS)
def test_a_zoom_keeps_size_classes_and_the_place_of_edges(zoom):
    labels = np.zeros((24, 36), np.int8)
    labels[:, 18:] = 3
    labels[2] = -1
    picture = np.where(labels == 3, 1.0, 0.0).astype(np.float32)[..., None]
    change = Change(swap=False, zoom=zoom, top=0.99, left=0.99)
    found, seen = changed("segmentation", labels, change), changed("image", picture, change)
    assert found.shape == labels.shape
    assert set(np.unique(found.numpy())) == ({-1, 0, 3} if zoom == 1.0 else {0, 3})
    agree = (found.numpy() == 3) == (seen.numpy()[..., 0] > 0.5)
    assert agree[3:].mean() > 0.97
    share = (36 - 18) * zoom / 36  # the part ends at the right side, so that the edge moves left
    assert (found.numpy() == 3).mean() == pytest.approx(share, abs=0.05)


def test_what_is_enlarged_is_nearer():
    depth = np.full((12, 12, 1), 6.0, np.float32)
    assert np.allclose(changed("depth", depth, Change(False, 1.5, 0.3, 0.3)).numpy(), 4.0)


def test_draws_are_as_many_whatever_comes_out_and_reach_every_zoom_and_place():
    generator = np.random.Generator(np.random.Philox(0))
    changes = draw(generator, 400, ZOOMS)
    assert {change.zoom for change in changes} == set(ZOOMS)
    assert 150 < sum(change.swap for change in changes) < 250
    other = np.random.Generator(np.random.Philox(0))
    draw(other, 400, (1.0,))
    assert generator.random() == other.random()
    sizes = {int(change.top * (12 - 8 + 1)) for change in changes}
    assert sizes == {0, 1, 2, 3, 4}
