"""ImageNet's own folder, made small: what is listed, and what is said of one that is not whole."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gradsurgery.problems._album import twin
from pipelines import _imagenet, _laid_out
from pipelines._download import SourceError

COUNTS, CLASSES = {"train": 6, "test": 4}, ("n01", "n02")


def _read(root, split="train", what="files"):
    return _imagenet.read(root, split, what, COUNTS, len(CLASSES))


@pytest.fixture
def root(tmp_path):
    arrays = twin(2, 40, 48, 3, 2, seed=0)
    for split, folder in _imagenet.FOLDERS.items():
        for number, (image, label) in enumerate(zip(arrays[f"{split}_images"], arrays[f"{split}_labels"], strict=True)):
            place = tmp_path / folder / CLASSES[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{CLASSES[label]}_{number}.JPEG", "JPEG")
    return tmp_path


def test_names_and_classes_are_listed_in_order(root):
    names = [row.tobytes().rstrip(b"\0").decode() for row in _read(root)]
    assert names == [f"train/n01/n01_{k}.JPEG" for k in (0, 2, 4)] + [f"train/n02/n02_{k}.JPEG" for k in (1, 3, 5)]
    assert _read(root, what="labels").tolist() == [0, 0, 0, 1, 1, 1]
    assert _read(root, "test", "labels").tolist() == [0, 0, 1, 1]
    assert _read(root, "test").shape == (4, 64)
    assert _read(root, "test").dtype == np.uint8


def test_what_is_wrong_is_said_in_one_sentence(root):
    path = root / "train/n01/n01_2.JPEG"
    body = path.read_bytes()

    def refused(message, split="train", what="files"):
        with pytest.raises(SourceError, match=message):
            _read(root, split, what)

    for end in (len(body) // 2, len(body) - 40):
        path.write_bytes(body[:end])
        refused(r"n01_2\.JPEG is damaged or cut off \(.*runcated")
    Image.new("RGB", (40, 9)).save(path, "JPEG")
    refused(r"n01_2\.JPEG must be at least 16 pixels wide and high, found \(40, 9\)")
    path.unlink()
    refused("train must hold 6 pictures, found 5")
    (root / "train/n01/notes.txt").write_text("x")
    refused(r"train/n01 must hold pictures \(.*\), found notes\.txt")
    (root / "train/n01/notes.txt").rename(root / "train/notes.txt")
    refused(r"must hold one folder for each class, found the file notes\.txt")
    (root / "train/notes.txt").unlink()
    path.write_bytes(body)
    (root / "train/n03").mkdir()
    refused("train must hold 2 folders, found 3")
    (root / "train/n03").rmdir()
    (root / "val/n02").rename(root / "val/n04")
    refused("must hold the same classes in train and val, found n02 in one only", "test")
    (root / "val/n04").rename(root / "elsewhere")
    refused("val must hold 2 folders, found 1", "test")
    (root / "val").rename(root / "validation")
    refused(r"must hold train/ and val/ with one folder of pictures .* found no val", "test")
    long = root / "train/n01" / f"{'x' * 60}.JPEG"
    path.rename(long)
    refused("must have a name of at most 64 bytes from .* on, found 75")


def test_without_a_licence_or_without_room_nothing_is_written(root, tmp_path, monkeypatch):
    monkeypatch.setitem(_laid_out.READERS, "imagenet", _read)
    target = tmp_path / "train_files.npy"
    with pytest.raises(SourceError, match=r"must hold a file LICENCE\.accepted, by which you say that you accept"):
        _laid_out.save(root, "imagenet", "train", "files", target)
    (root / _laid_out.ACCEPTED).touch()
    monkeypatch.setattr(_laid_out.shutil, "disk_usage", lambda place: SimpleNamespace(free=6 * 64 * 3 - 1))
    with pytest.raises(
        SourceError, match=r"must have 0\.0 GB of room for files of train, which are kept 3 times, found"
    ):
        _laid_out.save(root, "imagenet", "train", "files", target)
    assert not target.exists()
    monkeypatch.setattr(_laid_out.shutil, "disk_usage", lambda place: SimpleNamespace(free=6 * 64 * 3))
    _laid_out.save(root, "imagenet", "train", "files", target)
    assert np.load(target).shape == (6, 64)
