"""NYUv2 and Cityscapes out of folders and out of parquet files, and everything that can be wrong with either."""

import shutil

import numpy as np
import pytest

from pipelines._download import SourceError
from pipelines._knock import told
from pipelines._params import load
from pipelines._scenes import read
from pipelines.fetch import fetch
from tests.scenes import COUNTS, as_folders, as_parquet, pictures, small

FORMS = ("nyuv2", "cityscapes")


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
    small(monkeypatch, request.param)
    return request.param


def _all(root, form, made):
    return {
        (split, name): read(root, form, split, name) for split, maps in made.items() for name in maps
    }  # fmt: skip


def test_both_layouts_give_the_same_arrays(form, tmp_path):
    made = pictures(form)
    as_folders(tmp_path / "folders", form, made)
    as_parquet(tmp_path / "parquet", made)
    one, other = (_all(tmp_path / place, form, made) for place in ("folders", "parquet"))
    for (split, name), values in one.items():
        np.testing.assert_array_equal(values, other[split, name])
        np.testing.assert_array_equal(values, made[split][name].astype(values.dtype))
        assert values.dtype == (np.int8 if name == "segmentation" else np.float32)
        assert len(values) == COUNTS[split]


def test_cityscapes_labels_may_have_either_name(tmp_path, monkeypatch):
    small(monkeypatch, "cityscapes")
    made = pictures("cityscapes")
    as_folders(tmp_path, "cityscapes", made)
    for split in ("train", "val"):
        (tmp_path / split / "label_7").rename(tmp_path / split / "label")
    np.testing.assert_array_equal(read(tmp_path, "cityscapes", "test", "segmentation"), made["test"]["segmentation"])


def _saved(name, values):
    return lambda root: np.save(root / "train" / name, values)


def _without_class(root):
    for path in (root / "train/label").iterdir():
        labels = np.load(path)
        np.save(path, np.where(labels == 4, 5, labels))


WRONG = {
    "missing": (lambda root: (root / "train/depth/2.npy").unlink(), "depth", "0.npy to 4.npy, found no 2.npy"),
    "extra": (_saved("depth/9.npy", np.zeros((6, 8, 1))), "depth", "found a strange 9.npy"),
    "no folder": (lambda root: shutil.rmtree(root / "train/normal"), "normal", "found no .*train/normal"),
    "truncated": (
        lambda root: (root / "train/depth/1.npy").write_bytes((root / "train/depth/1.npy").read_bytes()[:200]),
        "depth", "1.npy is no whole .npy file",
    ),
    "another shape": (
        _saved("image/0.npy", np.zeros((6, 9, 3))), "image", r"must be image of \(6, 8, 3\), found \(6, 9, 3\)",
    ),
    "bytes": (_saved("image/0.npy", np.full((6, 8, 3), 128)), "image", "must hold image from 0 to 1, found 128"),
    "a class too many": (_saved("label/0.npy", np.full((6, 8), 13)), "segmentation", "from -1 to 12, found 13"),
    "half a class": (_saved("label/0.npy", np.full((6, 8), 0.5)), "segmentation", "must hold whole numbers"),
    "nan": (_saved("depth/0.npy", np.full((6, 8, 1), np.nan)), "depth", "must hold depth from 0 to 20.0, found nan"),
    "text": (_saved("depth/0.npy", np.full((6, 8, 1), "x")), "depth", "0.npy must hold numbers, found <U1"),
    "a class that is nowhere": (_without_class, "segmentation", "must hold every class in train, found none of 4"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_folder_that_is_not_right_is_told(name, tmp_path, monkeypatch):
    small(monkeypatch, "nyuv2")
    as_folders(tmp_path, "nyuv2", pictures("nyuv2"))
    spoil, what, said = WRONG[name]
    spoil(tmp_path)
    with pytest.raises(SourceError, match=said):
        read(tmp_path, "nyuv2", "train", what)


def _rewritten(root, change):
    made = pictures("nyuv2")
    shutil.rmtree(root)
    as_parquet(root, {split: change(maps) for split, maps in made.items()})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: next(root.rglob("train-00001*")).unlink(), "must hold 5 pictures in train, found 3"),
        (lambda root: next(root.rglob("train-00000*")).write_bytes(b"PAR1"), "train-00000.* is no whole parquet file"),
        (lambda root: _rewritten(root, lambda maps: {"image": maps["image"]}), "must have a column depth, found image"),
        (lambda root: _rewritten(root, lambda maps: {"depth": maps["depth"][:, :5]}), "found 40 numbers in one"),
    ],
)
def test_parquet_files_that_are_not_right_are_told(spoil, said, tmp_path, monkeypatch):
    small(monkeypatch, "nyuv2")
    as_parquet(tmp_path / "own", pictures("nyuv2"))
    spoil(tmp_path / "own")
    with pytest.raises(SourceError, match=said):
        read(tmp_path / "own", "nyuv2", "train", "depth")


@pytest.mark.parametrize("place", ["own", "mirror/nyuv2"])
def test_fetch_brings_it_from_its_folder_or_the_mirror_or_leaves_nothing(place, tmp_path, monkeypatch):
    small(monkeypatch, "nyuv2")
    made = pictures("nyuv2")
    as_folders(tmp_path / place, "nyuv2", made)
    block = {**load().datasets["nyuv2"], "sources": [{"kind": "file", "path": str(tmp_path / "own")}]}
    fetch("nyuv2", block, tmp_path / "raw", tmp_path / "cache", tmp_path / "mirror")
    np.testing.assert_array_equal(np.load(tmp_path / "raw/nyuv2/test_segmentation.npy"), made["test"]["segmentation"])
    shutil.rmtree(tmp_path / "raw")
    (tmp_path / place / "val/normal/1.npy").unlink()
    with pytest.raises(SourceError, match=r"found no 1\.npy"):
        fetch("nyuv2", block, tmp_path / "raw", tmp_path / "cache", tmp_path / "mirror")
    assert not (tmp_path / "raw/nyuv2").exists()


@pytest.mark.parametrize("form_", FORMS)
def test_what_is_missing_is_said_with_its_place_and_its_licence(form_):
    said = told(form_, load().datasets[form_], ["x"])
    assert "not to be passed on" in said
    assert "train-*.parquet" in said
    assert f"<any>/{form_}/" in said
