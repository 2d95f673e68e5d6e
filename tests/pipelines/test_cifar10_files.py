"""CIFAR-10's own copy, made small: the folder and the archive, and what is said of one that is not whole."""

import hashlib
import tarfile

import numpy as np
import pytest

from pipelines import _cifar10
from pipelines._download import SourceError
from tests.pickles import pickled

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 4, 32, 32, 3)).astype(np.uint8)
LABELS = np.random.default_rng(1).integers(0, 10, (6, 4))


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, pictures, labels in zip(_cifar10.MD5, PICTURES, LABELS, strict=True):
        rows = pictures.transpose(0, 3, 1, 2).reshape(4, 3072)
        (folder / name).write_bytes(pickled({"labels": labels.tolist(), "data": rows}))
    return tmp_path


def _md5(root):
    return {p.name: hashlib.md5(p.read_bytes()).hexdigest() for p in (root / "cifar-10-batches-py").iterdir()}


def _read(root, split="train", what="images", md5=None):
    return _cifar10.read(root, split, what, md5 or _md5(root), 4)


def _pack(root):
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(root / "cifar-10-batches-py", "cifar-10-batches-py")
    for path in (root / "cifar-10-batches-py").iterdir():
        path.unlink()
    (root / "cifar-10-batches-py").rmdir()


def test_folder_and_archive_give_the_batches_in_their_order(root):
    md5 = _md5(root)
    for pack in (lambda root: None, _pack):
        pack(root)
        np.testing.assert_array_equal(_read(root, md5=md5), PICTURES[:5].reshape(-1, 32, 32, 3))
        np.testing.assert_array_equal(_read(root, "train", "labels", md5), LABELS[:5].ravel())
        np.testing.assert_array_equal(_read(root, "test", "labels", md5), LABELS[5])


def test_what_is_wrong_is_said_in_one_sentence(root):
    folder, md5 = root / "cifar-10-batches-py", _md5(root)
    with pytest.raises(SourceError, match=r"data_batch_1 has md5 .*, not c99cafc15224"):
        _cifar10.read(root, "train", "images")
    with pytest.raises(SourceError, match=r"data_batch_1 of .* must hold 10000 pictures of 10 classes, found 4 of up"):
        _cifar10.read(root, "train", "images", md5)
    whole = (folder / "data_batch_2").read_bytes()
    (folder / "data_batch_2").write_bytes(whole[:-9])
    with pytest.raises(SourceError, match=r"data_batch_2 is no pickle of CIFAR"):
        _read(root)
    (folder / "data_batch_2").write_bytes(pickled({"labels": [1], "data": np.zeros((1, 99), np.uint8)}))
    with pytest.raises(SourceError, match=r"data_batch_2 is no pickle of CIFAR \(cannot reshape"):
        _read(root)
    (folder / "data_batch_2").unlink()
    with pytest.raises(SourceError, match=r"must hold cifar-10-python\.tar\.gz, or .* found no data_batch_2"):
        _read(root, md5=md5)
    _pack(root)
    with pytest.raises(SourceError, match=r"must hold data_batch_1, .* found no data_batch_2"):
        _read(root, md5=md5)
    archive = root / "cifar-10-python.tar.gz"
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(SourceError, match=r"cifar-10-python\.tar\.gz is damaged or cut off"):
        _read(root, md5=md5)
    archive.unlink()
    with pytest.raises(SourceError, match=r"found no cifar-10-python\.tar\.gz"):
        _read(root, md5=md5)
