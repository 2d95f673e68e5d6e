"""Arrays of a problem: hashed as they lie on the disk, folders replaced as a whole."""

import errno
import hashlib
import os

import numpy as np
import pytest

from pipelines._arrays import hashes_of, install, install_again, load
from pipelines._files import UnwritableError

ARRAYS = {
    "train_images": np.arange(24, dtype=np.uint8).reshape(4, 2, 3), "train_labels": np.arange(4, dtype=np.uint8),
    "test_images": np.arange(12, dtype=np.uint8).reshape(2, 2, 3), "test_labels": np.arange(2, dtype=np.uint8),
}  # fmt: skip
PINS = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in ARRAYS.items()}


@pytest.fixture
def folder(tmp_path):
    install(ARRAYS, tmp_path / "p")
    return tmp_path / "p"


def test_hashes_are_those_of_the_values_as_they_lie_on_the_disk(folder):
    assert hashes_of(folder, PINS) == hashes_of(folder, {}) == PINS
    np.save(folder / "train_images.npy", np.asfortranarray(ARRAYS["train_images"]))
    assert hashes_of(folder, PINS) == PINS  # the order of the file is not the values'
    path = folder / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ValueError, match=r"p/train_images\.npy must hold the values that data/pins\.yaml pins"):
        hashes_of(folder, PINS)
    assert hashes_of(folder, {})["train_images"] != PINS["train_images"]


def test_arrays_that_lack_or_are_too_many_are_named(folder):
    (folder / "test_images.npy").unlink()
    with pytest.raises(ValueError, match=r"p/test_images\.npy must exist beside train_images\.npy, found nothing"):
        hashes_of(folder, {})
    np.save(folder / "test_images.npy", ARRAYS["test_images"])
    with pytest.raises(ValueError, match=r"p/val_images\.npy must exist, found nothing"):
        hashes_of(folder, {**PINS, "val_images": "0" * 64})
    np.save(folder / "more.npy", np.zeros(2))
    with pytest.raises(ValueError, match=r"p/more\.npy must be one of the problem's arrays .*: remove it"):
        hashes_of(folder, PINS)


@pytest.mark.parametrize("change", [np.ravel, lambda a: a[None], lambda a: a.astype(np.int64), lambda a: a[:-1]])
@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_lost_its_shape_or_type_is_named(name, change, folder):
    array = change(ARRAYS[name])
    if array.shape == ARRAYS[name].shape and array.dtype == ARRAYS[name].dtype:
        pytest.skip("flat already")
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(ValueError, match=r"p/\w+\.npy must be like its companions") as raised:
        load(folder, ARRAYS)
    assert name.split("_")[0] in str(raised.value) or name.split("_")[1] in str(raised.value)


def test_the_same_arrays_lie_on_the_disk_once_and_apart_where_links_are_impossible(folder, monkeypatch):
    twin = folder.with_name("q")
    install_again(folder, twin)
    assert all(path.samefile(folder / path.name) for path in twin.glob("*.npy"))
    assert hashes_of(twin, PINS) == hashes_of(folder, PINS)

    def impossible(*_):
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", impossible)
    install_again(folder, twin)
    assert not any(path.samefile(folder / path.name) for path in twin.glob("*.npy"))
    assert hashes_of(twin, PINS) == hashes_of(folder, PINS)
    install({"train_labels": np.zeros(2, np.uint8)}, folder)
    assert hashes_of(twin, PINS), "a new folder leaves the other as it was"


@pytest.mark.parametrize("call", ["save", "rename"])
def test_a_folder_is_replaced_whole_or_not_at_all(call, folder, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}
    if call == "save":
        monkeypatch.setattr(np, "save", full)
    else:
        kept = type(folder).rename
        monkeypatch.setattr(type(folder), "rename", lambda p, to: full() if p.name == ".p.new" else kept(p, to))
    with pytest.raises(UnwritableError, match=r"/p cannot be written \(No space left on device\)"):
        install({"other": np.zeros(3)}, folder)
    assert {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()} == before
