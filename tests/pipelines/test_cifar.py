"""CIFAR-100's two forms, made small or of plain colours here: one order, and no pickle read that is not known."""

import gzip
import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from pipelines import _cifar
from pipelines._download import SourceError
from pipelines._obtain import fetch
from tests.pickles import pickled

# Classes 2, 0, 1, ... in an order of no kind, names that do not sort by class, one name in two classes.
CLASSES = [2, 0, 1, 0, 2, 1, 0]
FILES = ["b.png", "z.png", "a.png", "c.png", "a.png", "B.png", "d.png"]
ORDER = [3, 6, 1, 5, 2, 4, 0]
PICTURES = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)


def _pickled(**changes):
    planes = PICTURES.transpose(0, 3, 1, 2).reshape(7, 3072)
    table = {"filenames": FILES, "batch_label": "x", "fine_labels": CLASSES, "coarse_labels": CLASSES, "data": planes}
    return pickled(table | changes)


def _md5(body):
    return hashlib.md5(body).hexdigest()


def test_a_pickle_of_2009_comes_out_by_class_and_name():
    body = _pickled()
    assert b"numpy.core.multiarray\n_reconstruct" in body
    assert (_cifar.decode({"train": body}, "train", "images", _md5(body)) == PICTURES[ORDER]).all()
    labels = _cifar.decode({"train": body}, "train", "labels", _md5(body))
    assert labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert labels.dtype == np.uint8


def test_the_archive_from_a_server_of_ours(tmp_path):
    body = _pickled()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name in ("train", "file.txt~"):
            info = tarfile.TarInfo(f"cifar-100-python/{name}")
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    pins = {
        f"train_{values}": {
            "file": "train", "format": f"cifar100_{values}", "md5": _md5(body),
            "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
        }
        for values, array in (("images", PICTURES[ORDER]), ("labels", np.array(CLASSES, np.uint8)[ORDER]))
    }  # fmt: skip
    (tmp_path / "mirror/cifar100").mkdir(parents=True)
    (tmp_path / "mirror/cifar100/cifar-100-python.tar.gz").write_bytes(stream.getvalue())
    dataset = {"title": "T", "licence": "L", "arrays": pins, "sources": []}
    fetch("cifar100", dataset, tmp_path / "raw", tmp_path / "cache", tmp_path / "mirror")
    np.testing.assert_array_equal(np.load(tmp_path / "raw/cifar100/train_images.npy"), PICTURES[ORDER])
    pins["train_images"]["md5"] = "0" * 32
    with pytest.raises(SourceError, match="a pickle that is not known is not read"):
        fetch("cifar100", dataset, tmp_path / "again", tmp_path / "cache", tmp_path / "mirror")


def test_an_unknown_pickle_is_not_read(monkeypatch):
    monkeypatch.setattr(_cifar, "_Reader", None)  # reading it would fail with another error
    with pytest.raises(ValueError, match=r"train has md5 .*, not 000000000000\.\.; a pickle that is not known"):
        _cifar.decode({"train": _pickled()}, "train", "images", "0" * 32)


class _Evil:
    def __reduce__(self):
        return print, ("run by a pickle",)


def test_a_pickle_may_call_nothing_else(capsys):
    body = pickle.dumps({"data": _Evil()}, 2)
    with pytest.raises(ValueError, match=r"train is no pickle of CIFAR .it asks for .*print"):
        _cifar.decode({"train": body}, "train", "images", _md5(body))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("changes", [{"fine_labels": CLASSES[:-1]}, {"data": PICTURES[:, :16].reshape(7, -1)}])
def test_a_pickle_of_other_contents_is_named(changes):
    body = _pickled(**changes)
    with pytest.raises(ValueError, match="train is no pickle of CIFAR"):
        _cifar.decode({"train": body}, "train", "images", _md5(body))


def _webp(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", lossless=True, quality=0, method=0)
    return stream.getvalue()


@pytest.fixture(scope="module")
def mosaic():
    """A mosaic whose picture i is of the one colour (i // 100, i % 100, 7) but for a bright first pixel."""
    rows, columns = np.divmod(np.arange(10_000), 100)
    colours = np.stack([rows, columns, np.full(10_000, 7)], axis=1).astype(np.uint8).reshape(100, 100, 3)
    pixels = colours.repeat(32, axis=0).repeat(32, axis=1)
    pixels[::32, ::32] = 255
    return _webp(pixels)


def test_a_mosaic_is_read_row_by_row(mosaic):
    labels = io.BytesIO()
    np.savez(labels, test=np.arange(10_000) % 100)
    contents = {"test_0.webp": mosaic, "fine_labels.npz": labels.getvalue()}
    pictures = _cifar.decode(contents, "test", "images", "")
    assert pictures.shape == (10_000, 32, 32, 3)
    for place in (0, 1, 99, 100, 4321, 9999):
        assert pictures[place, 0, 0].tolist() == [255, 255, 255]
        assert (pictures[place].reshape(-1, 3)[1:] == [place // 100, place % 100, 7]).all()
    found = _cifar.decode(contents, "test", "labels", "")
    assert found.dtype == np.uint8
    assert found.tolist() == [place % 100 for place in range(10_000)]


def test_wrong_mosaics_are_named(mosaic):
    def refused(body):
        with pytest.raises(ValueError, match=r"test_0\.webp") as caught:
            _cifar.decode({"test_0.webp": body}, "test", "images", "")
        return str(caught.value)

    assert "is no complete WebP picture" in refused(mosaic[: len(mosaic) // 2])
    assert "is no complete WebP picture" in refused(b"<html>")
    assert "must be 3200 pixels wide and high, found (64, 32)" in refused(_webp(np.zeros((32, 64, 3), np.uint8)))


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match=r"train of cifar-100-python.tar.gz is missing, and so is train_3.webp"):
        _cifar.decode(dict.fromkeys([f"train_{k}.webp" for k in (0, 1, 2, 4)], b""), "train", "images", "")
    with pytest.raises(ValueError, match=r"and so is fine_labels.npz"):
        _cifar.decode({}, "test", "labels", "")
    with pytest.raises(ValueError, match=r"fine_labels.npz is damaged"):
        _cifar.decode({"fine_labels.npz": gzip.compress(b"")}, "test", "labels", "")
