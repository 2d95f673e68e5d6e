"""Pictures from files or arrays: what is cut out of them, in what order, and which validate."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from gradsurgery.problems._album import TRIES, Album, divided, middle_cut, random_cut, twin


def test_every_class_keeps_pictures_for_validation_and_labels_stay_with_theirs(raw, arrays):
    assert np.bincount(arrays["val_labels"]).tolist() == [2] * 4
    assert np.bincount(arrays["train_labels"]).tolist() == [4] * 4
    before = sorted(zip(map(bytes, raw["train_images"]), raw["train_labels"].tolist(), strict=True))
    after = [
        pair for split in ("train", "val")
        for pair in zip(map(bytes, arrays[f"{split}_images"]), arrays[f"{split}_labels"].tolist(), strict=True)
    ]  # fmt: skip
    assert sorted(after) == before
    with pytest.raises(ValueError, match="`held` must be less than the pictures of every class, 6, found held = 6"):
        divided(raw, 6, 0)


def test_a_random_cut_is_within_bounds_and_the_size_asked_for():
    rows, columns = np.mgrid[:80, :120]
    picture = Image.fromarray(np.stack([rows * 3, columns * 2, columns * 0 + 7], axis=2).astype(np.uint8))
    words, mirrored = np.random.default_rng(0), 0
    for _ in range(60):
        draws = words.random(4 * TRIES + 1)
        cut = random_cut(picture, draws, 32).astype(float)
        assert cut.shape == (32, 32, 3)
        assert (cut[..., 2] == 7).all()
        mirrored += (slope := cut[:, -1, 1].mean() - cut[:, 0, 1].mean()) < 0
        assert (slope < 0) == (draws[-1] < 0.5)
        tall, wide = (cut[-1, :, 0].mean() - cut[0, :, 0].mean()) / 3, abs(slope) / 2
        tall, wide = tall * 32 / 31, wide * 32 / 31
        assert 0.06 < tall * wide / (80 * 120) <= 1.02
        assert 0.68 < wide / tall < 1.46  # 3:4 to 4:3, to a pixel
    assert 15 < mirrored < 45
    none_fits = np.tile([1.0, 1.0, 0.0, 0.0], TRIES)  # the whole area at 4:3 is taller or wider than 3:2
    whole = random_cut(picture, np.append(none_fits, 1.0), 40)
    np.testing.assert_array_equal(whole, middle_cut(picture, none_fits, 40, 1.0))
    middle = middle_cut(picture, none_fits, 35, 224 / 256).astype(float)
    assert middle[..., 1].mean() == pytest.approx(2 * 59.5, abs=1.0)
    assert middle[-1, 0, 0] - middle[0, 0, 0] == pytest.approx(3 * 70 * 34 / 35, abs=2.0)


def test_batches_come_in_the_order_asked_for_however_far_decoders_are_ahead(arrays):
    album = Album(arrays, "train", 0, "")
    found = list(album.whole(2, partial(middle_cut, size=40, share=1.0)))
    assert [rows.tolist() for rows, _ in found] == [[k, k + 1] for k in range(0, 16, 2)]
    middle = arrays["train_images"][:, :, 8:48]
    np.testing.assert_array_equal(np.concatenate([images for _, images in found]), middle)


def test_a_file_that_is_cut_off_is_named_when_its_batch_comes(on_disk, arrays):
    folder, named = on_disk
    album = Album({**named}, "val", 3, str(folder))
    path = folder / named["val_files"][1].tobytes().rstrip(b"\0").decode()
    body = path.read_bytes()
    path.write_bytes(body[: len(body) // 2])
    with pytest.raises(ValueError, match=r"val-.*\.png must be a whole picture, found: "):
        list(album.whole(2, partial(middle_cut, size=8, share=1.0)))
    path.write_bytes(body)
    assert [len(rows) for rows, _ in album.whole(2, partial(middle_cut, size=8, share=1.0))] == [2, 1]


def test_no_folder_for_pictures_in_files_is_said(tmp_path):
    arrays = {"val_files": np.zeros((2, 9), np.uint8), "val_labels": np.zeros(2, np.int16)}
    with pytest.raises(
        ValueError, match=r"`folder` must hold the pictures that the arrays name, found none at '.*none'"
    ):
        Album(arrays, "val", 0, str(tmp_path / "none"))


def test_a_twin_has_every_class_as_often_as_asked_in_imagenets_types():
    made = twin(3, 8, 12, train=4, test=2, seed=1)
    assert {name: (own.shape, own.dtype.name) for name, own in made.items()} == {
        "train_images": ((12, 8, 12, 3), "uint8"), "train_labels": ((12,), "int16"),
        "test_images": ((6, 8, 12, 3), "uint8"), "test_labels": ((6,), "int16"),
    }  # fmt: skip
    assert np.bincount(made["train_labels"]).tolist() == [4] * 3
