"""PASCAL-Context from the user's own copy: the folder PASCAL_MT of ASTMT's archive PASCAL_MT.tgz, unpacked.

    ImageSets/Context/{train,val}.txt               names, one a line: 4,998 and 5,105
    JPEGImages/<name>.jpg                           pictures
    semseg/VOC12/ or semseg/pascal-context/<name>.png   classes 0..20, 255 nowhere
    human_parts/<name>.mat                          objects with their parts
    sal_distill/<name>.png, normals_distill/<name>.png  what other networks said, 0..255
    pascal-context/trainval/<name>.mat              459 classes: normals count only where the class has some
    normal_classes.txt                              their numbers, which stand in ASTMT's code and not in its archive:
                                                    to be written by the user, separated by white space

All becomes 512 x 512. `val` is what all papers test on, and `test` here. The licence lets nobody pass it on, so that
nobody could check this against the real files here but by their counts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image, UnidentifiedImageError

from pipelines._download import SourceError

WHAT = (
    "ImageSets/Context, JPEGImages, semseg, human_parts, sal_distill, normals_distill and pascal-context of ASTMT's "
    "PASCAL_MT.tgz, and by you normal_classes.txt"
)
FOLDERS, COUNTS = {"train": "train", "test": "val"}, {"train": 4998, "test": 5105}
SIZE = 512
# ASTMT's six parts of a person by the 24 names of PASCAL-Part.
_PARTS = {
    1: ("hair", "head", "lear", "lebrow", "leye", "mouth", "nose", "rear", "rebrow", "reye"), 2: ("neck", "torso"),
    3: ("luarm", "ruarm"), 4: ("lhand", "llarm", "rhand", "rlarm"), 5: ("luleg", "ruleg"),
    6: ("lfoot", "llleg", "rfoot", "rlleg"),
}  # fmt: skip
_PART_OF = {name: part for part, names in _PARTS.items() for name in names}
_PERSON, _IGNORED, _CLASSES = 15, -1, 21


def read(
    root: Path, split: str, what: str, counts: Mapping[str, int] = COUNTS, size: int = SIZE
) -> Shaped[np.ndarray, "n height width ..."]:
    """Images (n, s, s, 3), uint8; segmentation -1..20, parts -1..6 and saliency 0 or 1 (n, s, s), int8; normals in
    127ths (n, s, s, 3), int8, 0 where none counts.

    Args:
        root: the folder.
        split, what: "train" or "test"; images, segmentation, parts, saliency or normal.
        counts, size: of the real set; others only for a twin on disk.

    Raises:
        SourceError: a file is missing, cut off, or holds something else.
    """
    listed = root / "ImageSets/Context" / f"{FOLDERS[split]}.txt"
    try:
        names = listed.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        raise SourceError(f"{root} must hold {WHAT}, found no {listed.relative_to(root)}") from None
    if len(names) != counts[split] or len({*names}) != len(names):
        raise SourceError(f"{listed} must name {counts[split]} pictures once, found {len({*names})} of {len(names)}")
    known = _normal_classes(root) if what == "normal" else frozenset[int]()
    shape = (len(names), size, size) + ((3,) if what in ("images", "normal") else ())
    found = np.empty(shape, np.uint8 if what == "images" else np.int8)
    for row, name in zip(found, names, strict=True):
        row[...] = _MAPS[what](root, name, size, known)
    return found


def _image(root: Path, name: str, size: int, known: frozenset[int]) -> np.ndarray:
    return _picture(root / f"JPEGImages/{name}.jpg", "RGB", size, smooth=True)


def _segmentation(root: Path, name: str, size: int, known: frozenset[int]) -> np.ndarray:
    paths = [root / "semseg" / folder / f"{name}.png" for folder in ("VOC12", "pascal-context")]
    path = next((path for path in paths if path.is_file()), paths[0])
    labels = _picture(path, "", size).astype(np.int16)
    if ((labels >= _CLASSES) & (labels != 255)).any():
        raise SourceError(f"{path} must hold classes 0 to 20 and 255, found {int(labels[labels < 255].max())}")
    return np.where(labels == 255, _IGNORED, labels)


def _saliency(root: Path, name: str, size: int, known: frozenset[int]) -> np.ndarray:
    return _picture(root / f"sal_distill/{name}.png", "L", size) > 127


def _normal(root: Path, name: str, size: int, known: frozenset[int]) -> np.ndarray:
    labels = _mat(root / f"pascal-context/trainval/{name}.mat", "LabelMap")
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise SourceError(f"{root}/pascal-context/trainval/{name}.mat must hold a map of classes, found {labels.shape}")
    counts = _resized(np.isin(labels, sorted(known)).astype(np.uint8), size)
    vectors = _picture(root / f"normals_distill/{name}.png", "RGB", size, smooth=True).astype(float) * 2 / 255 - 1
    lengths = np.linalg.norm(vectors, axis=2, keepdims=True)
    return np.rint(127 * vectors / np.maximum(lengths, 1e-6)) * (counts[..., None] > 0)


def _parts(root: Path, name: str, size: int, known: frozenset[int]) -> np.ndarray:
    """-1 everywhere on a picture without parts of people, as ASTMT leaves it out."""
    path, found = root / f"human_parts/{name}.mat", np.full((size, size), _IGNORED)
    try:
        objects = _mat(path, "anno")[0][0][1][0]
        for own in objects:
            if int(own[1][0][0]) != _PERSON or not len(own[3]):
                continue
            for part in own[3][0]:
                if (found == _IGNORED).all():
                    found[...] = 0
                found[_resized(np.asarray(part[1], np.uint8), size) > 0] = _PART_OF[str(part[0][0])]
    except (IndexError, TypeError, ValueError, KeyError) as error:
        raise SourceError(f"{path} must hold objects with their parts, found {type(error).__name__}: {error}") from None
    return found


_MAPS = {"images": _image, "segmentation": _segmentation, "parts": _parts, "saliency": _saliency, "normal": _normal}


def _normal_classes(root: Path) -> frozenset[int]:
    path = root / "normal_classes.txt"
    try:
        found = frozenset(int(word) for word in path.read_text(encoding="utf-8").split())
    except FileNotFoundError:
        raise SourceError(f"{root} must hold {WHAT}, found no {path.name}") from None
    except ValueError as error:
        raise SourceError(f"{path} must hold numbers of classes, found: {error}") from None
    if not found or not all(1 <= number <= 459 for number in found):
        raise SourceError(f"{path} must hold numbers from 1 to 459, found {sorted(found)[:1] or 'none'}")
    return found


def _picture(path: Path, mode: str, size: int, smooth: bool = False) -> np.ndarray:
    """A picture made to size; without a `mode` the numbers of a palette or of a grey picture as they are."""
    try:
        with Image.open(path) as picture:
            if not mode and picture.mode not in ("P", "L"):
                raise SourceError(f"{path} must be a map of classes, found mode {picture.mode}")
            whole = picture.convert(mode) if mode else picture
            how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
            return np.asarray(whole.resize((size, size), how))
    except FileNotFoundError:
        raise SourceError(f"{path} must exist, found none") from None
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise SourceError(f"{path} is damaged or cut off ({error})") from None


def _resized(values: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize((size, size), Image.Resampling.NEAREST))


def _mat(path: Path, name: str) -> Any:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(path)[name]
    except FileNotFoundError:
        raise SourceError(f"{path} must exist, found none") from None
    except (OSError, MatReadError, ValueError, TypeError, KeyError, EOFError) as error:
        raise SourceError(f"{path} is no whole .mat file with {name} ({error})") from None
