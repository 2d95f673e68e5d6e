"""CelebA's own copy: what is read from torchvision's layout, and what is said of a folder that is not it."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from gradsurgery.problems.celeba import twin
from pipelines import _celeba
from pipelines._download import SourceError

COUNTS = {"train": 4, "val": 2, "test": 3}


def _read(root, split="train", what="images"):
    return _celeba.read(root, split, what, COUNTS, {})


@pytest.fixture
def root(tmp_path):
    """A twin on disk, in the layout of the real set: pictures of split after split."""
    arrays, lines, parts, number = twin(*COUNTS.values(), seed=0), [], [], 0
    faces = tmp_path / "img_align_celeba"
    faces.mkdir()
    for place, split in enumerate(COUNTS):
        for image, labels in zip(arrays[f"{split}_images"], arrays[f"{split}_labels"], strict=True):
            number += 1
            name = f"{number:06}.jpg"
            Image.fromarray(image).resize((178, 218)).save(faces / name, quality=95)
            lines.append(f"{name} {' '.join('1' if bit else '-1' for bit in labels)}")
            parts.append(f"{name} {place}")
    names = " ".join(f"Attribute_{k}" for k in range(40))
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join([str(number), names, *lines, ""]))
    (tmp_path / "list_eval_partition.txt").write_text("\n".join([*parts, ""]))
    return tmp_path


def _zip(root):
    with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
        for path in sorted((root / "img_align_celeba").iterdir()):
            archive.write(path, f"img_align_celeba/{path.name}")
            path.unlink()
    (root / "img_align_celeba").rmdir()


def test_a_folder_and_a_zip_give_the_twins_labels_and_nearly_its_pictures(root):
    arrays = twin(*COUNTS.values(), seed=0)
    before = {split: _read(root, split) for split in COUNTS}
    _zip(root)
    for split, count in COUNTS.items():
        np.testing.assert_array_equal(_read(root, split, "labels"), arrays[f"{split}_labels"])
        images = _read(root, split)
        assert images.shape == (count, 64, 64, 3)
        np.testing.assert_array_equal(images, before[split])
        means = (own.reshape(count, 8, 8, 8, 8, 3).mean(axis=(2, 4)) for own in (images, arrays[f"{split}_images"]))
        assert np.abs(np.subtract(*means)).max() < 20  # blurred and compressed, but each patch where it was


def test_what_is_wrong_with_a_folder_is_said_in_one_sentence(root):
    faces = root / "img_align_celeba"
    good = (faces / "000002.jpg").read_bytes()
    (faces / "000002.jpg").write_bytes(good[: len(good) // 2])
    with pytest.raises(SourceError, match=r"000002\.jpg of .* is damaged or cut off"):
        _read(root)
    Image.new("RGB", (100, 218)).save(faces / "000002.jpg")
    with pytest.raises(SourceError, match=r"000002\.jpg of .* must be 178 x 218, found \(100, 218\)"):
        _read(root)
    (faces / "000002.jpg").unlink()
    with pytest.raises(SourceError, match="must hold 9 pictures, found 8"):
        _read(root)
    (faces / "strange.jpg").write_bytes(good)
    with pytest.raises(SourceError, match=r"must hold 000002\.jpg, found none"):
        _read(root)
    (faces / "000002.jpg").write_bytes(good)
    with pytest.raises(SourceError, match="must hold 9 pictures, found 10"):
        _read(root)


def test_what_is_wrong_with_a_list_is_said_in_one_sentence(root):
    attributes, parts = root / "list_attr_celeba.txt", root / "list_eval_partition.txt"
    whole = attributes.read_text()
    attributes.write_text(whole.replace("000003.jpg 1", "000003.jpg 2").replace("000003.jpg -1", "000003.jpg 2"))
    with pytest.raises(SourceError, match=r"must give 000003\.jpg 40 times -1 or 1, found 2"):
        _read(root, what="labels")
    with pytest.raises(SourceError, match=r"list_attr_celeba\.txt must have md5 75e246fa.*, found"):
        _celeba.read(root, "train", "labels", COUNTS, {"list_attr_celeba.txt": _celeba.MD5["list_attr_celeba.txt"]})
    parts.write_text(parts.read_text().replace("000001.jpg 0", "000001.jpg 1"))
    with pytest.raises(SourceError, match="must name 4 of train, found 3"):
        _read(root)
    parts.unlink()
    with pytest.raises(SourceError, match=r"as torchvision lays them out, found no list_eval_partition\.txt"):
        _read(root)


def test_a_zip_that_is_none_is_named(root):
    _zip(root)
    (root / "img_align_celeba.zip").write_bytes(b"PK and no more")
    with pytest.raises(SourceError, match=r"img_align_celeba\.zip is damaged or cut off"):
        _read(root)
