"""PASCAL-Context's own copy, made small: what is read of every folder, and what is said of one that is not whole."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from pipelines import _laid_out, _pascal
from pipelines._download import SourceError

COUNTS, NAMES, SIZE = {"train": 2, "test": 1}, {"train": ("a1", "b2"), "test": ("c3",)}, 16


def _read(root, what, split="train"):
    return _pascal.read(root, split, what, COUNTS, SIZE)


def _struct(rows, *names):
    found = np.empty((1, len(rows)), dtype=[(name, object) for name in names])
    for place, row in enumerate(rows):
        found[0, place] = row
    return found


def _save_parts(path, objects):
    """objects: (class, [(part, mask)])."""
    rows = [
        ("x", number, np.ones((8, 8), np.uint8), _struct(parts, "part_name", "mask") if parts else np.zeros((0, 0)))
        for number, parts in objects
    ]
    savemat(path, {"anno": {"imname": "x", "objects": _struct(rows, "class", "class_ind", "mask", "parts")}})


@pytest.fixture
def root(tmp_path):
    for folder in ("ImageSets/Context", "JPEGImages", "semseg/VOC12", "semseg/pascal-context", "human_parts",
                   "sal_distill", "normals_distill", "pascal-context/trainval"):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
    left = np.zeros((8, 8), np.uint8)
    left[:, :4] = 1
    for split, names in NAMES.items():
        (tmp_path / f"ImageSets/Context/{_pascal.FOLDERS[split]}.txt").write_text("\n".join([*names, ""]))
        for name in names:
            Image.new("RGB", (8, 8), (10, 200, 30)).save(tmp_path / f"JPEGImages/{name}.jpg")
            classes = Image.fromarray(np.where(left == 1, 255, 20).astype(np.uint8), "L")
            classes.save(tmp_path / f"semseg/{'VOC12' if name != 'b2' else 'pascal-context'}/{name}.png")
            Image.fromarray(200 * left).save(tmp_path / f"sal_distill/{name}.png")
            Image.new("RGB", (8, 8), (255, 128, 128)).save(tmp_path / f"normals_distill/{name}.png")
            savemat(
                tmp_path / f"pascal-context/trainval/{name}.mat",
                {"LabelMap": np.where(left == 1, 300, 7).astype(np.uint16)},
            )
            person = [(15, [("torso", left), ("lfoot", left.T)]), (7, [])]
            _save_parts(tmp_path / f"human_parts/{name}.mat", person if name != "b2" else [(7, [("hood", left)])])
    (tmp_path / "normal_classes.txt").write_text("300 301\n")
    return tmp_path


def test_every_map_is_what_its_files_say(root):
    half = np.zeros((SIZE, SIZE), bool)
    half[:, : SIZE // 2] = True
    images = _read(root, "images")
    assert (images.shape, images.dtype) == ((2, SIZE, SIZE, 3), np.uint8)
    assert np.abs(images.astype(int) - [10, 200, 30]).max() < 8
    segmentation = _read(root, "segmentation")
    np.testing.assert_array_equal(segmentation, np.broadcast_to(np.where(half, -1, 20), (2, SIZE, SIZE)))
    np.testing.assert_array_equal(_read(root, "saliency", "test")[0], half)
    normal = _read(root, "normal")
    assert normal.dtype == np.int8
    np.testing.assert_array_equal(normal[0], np.where(half[..., None], [127, 0, 0], 0))
    parts = _read(root, "parts")
    expected = np.where(half, 2, 0)
    expected[: SIZE // 2] = 6  # the foot was drawn later
    np.testing.assert_array_equal(parts[0], expected)
    assert (parts[1] == -1).all()  # nobody there


def test_what_is_wrong_is_said_in_one_sentence(root):
    def refused(what, message):
        with pytest.raises(SourceError, match=message):
            _read(root, what)

    path = root / "JPEGImages/b2.jpg"
    body = path.read_bytes()
    path.write_bytes(body[:-30])
    refused("images", r"b2\.jpg is damaged or cut off")
    path.unlink()
    refused("images", r"b2\.jpg must exist, found none")
    Image.new("L", (8, 8), 44).save(root / "semseg/VOC12/a1.png")
    refused("segmentation", r"a1\.png must hold classes 0 to 20 and 255, found 44")
    Image.new("RGB", (8, 8)).save(root / "semseg/VOC12/a1.png")
    refused("segmentation", r"a1\.png must be a map of classes, found mode RGB")
    mat = root / "human_parts/a1.mat"
    whole = mat.read_bytes()
    mat.write_bytes(whole[: len(whole) // 2])
    refused("parts", r"a1\.mat is no whole \.mat file with anno")
    _save_parts(mat, [(15, [("wing", np.ones((8, 8), np.uint8))])])
    refused("parts", r"a1\.mat must hold objects with their parts, found KeyError: 'wing'")
    savemat(mat, {"anno": np.zeros(3)})
    refused("parts", r"a1\.mat must hold objects with their parts, found")
    savemat(root / "pascal-context/trainval/b2.mat", {"Label": np.zeros((8, 8))})
    refused("normal", r"b2\.mat is no whole \.mat file with LabelMap")
    (root / "normal_classes.txt").write_text("300 900")
    refused("normal", r"normal_classes\.txt must hold numbers from 1 to 459, found")
    (root / "normal_classes.txt").unlink()
    refused("normal", r"must hold ImageSets/Context, .* and by you normal_classes\.txt, found no normal_classes\.txt")
    listed = root / "ImageSets/Context/train.txt"
    listed.write_text("a1\na1\n")
    refused("images", r"train\.txt must name 2 pictures once, found 1 of 2")
    listed.unlink()
    refused("images", r"found no ImageSets/Context/train\.txt")


def test_without_a_licence_or_without_room_nothing_is_written(root, tmp_path, monkeypatch):
    monkeypatch.setitem(_laid_out.READERS, "pascal_context", lambda own, split, what: _read(own, what, split))
    target = tmp_path / "train_images.npy"
    with pytest.raises(SourceError, match=r"must hold a file LICENCE\.accepted, by which you say that you accept"):
        _laid_out.save(root, "pascal_context", "train", "images", target)
    (root / _laid_out.ACCEPTED).touch()
    monkeypatch.setattr(_laid_out.shutil, "disk_usage", lambda place: SimpleNamespace(free=3 * 2 * SIZE * SIZE * 3 - 1))
    with pytest.raises(SourceError, match=r"must have 0\.0 GB of room for images of train, which are kept 3 times"):
        _laid_out.save(root, "pascal_context", "train", "images", target)
    assert not target.exists()
