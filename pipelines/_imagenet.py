"""ImageNet-1K from the user's own copy, as torchvision's `ImageFolder` reads it: nothing of it is copied.

    train/n01440764/n01440764_10026.JPEG ..    1,281,167 pictures in 1,000 folders
    val/n01440764/ILSVRC2012_val_00000293.JPEG ..    50,000 in the same folders, 50 in each

Its arrays are the files' names and the numbers of their folders, in the order of the folders' names; pictures are read
from the folder while a network trains. Each is decoded once here, small and on all cores, as a file that is cut off
would otherwise end a run of days. `val` is what all papers test on, and `test` here.

The licence lets nobody pass it on, so that nobody could check this against the real files here but by their counts.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from PIL import Image, UnidentifiedImageError

from pipelines._download import SourceError

WHAT = "train/ and val/ with one folder of pictures for each of the 1,000 classes, such as train/n01440764/*.JPEG"
FOLDERS, COUNTS, CLASSES = {"train": "train", "test": "val"}, {"train": 1_281_167, "test": 50_000}, 1000
WIDTH = 64  # bytes of a name, train/ or val/ included
_KINDS = (".jpeg", ".jpg", ".png", ".webp")
_LEAST, _DRAFT = (
    16,
    (32, 32),
)  # pixels that a side must have; the size at which a JPEG is decoded to see whether it can be


def read(
    root: Path, split: str, what: str, counts: Mapping[str, int] = COUNTS, classes: int = CLASSES
) -> Shaped[np.ndarray, "n ..."]:
    """Names (n, 64), uint8, as bytes that end in zeros, or classes (n,), int16, of "train" or "test".

    Args:
        root: the folder.
        split, what: "train" or "test"; "files" or "labels".
        counts, classes: of the real set; others only for a twin on disk.

    Raises:
        SourceError: a folder or picture is missing, too many, cut off or no picture.
    """
    folders = _classes(root, split, classes)
    if split != "train" and [f.name for f in folders] != (known := [f.name for f in _classes(root, "train", classes)]):
        odd = min({*known} ^ {folder.name for folder in folders})
        raise SourceError(f"{root} must hold the same classes in train and {FOLDERS[split]}, found {odd} in one only")
    found = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    for folder, names in zip(folders, found, strict=True):
        if strange := [name for name in names if not name.lower().endswith(_KINDS)]:
            raise SourceError(f"{folder} must hold pictures ({', '.join(_KINDS)}), found {strange[0]}")
    if (total := sum(map(len, found))) != counts[split]:
        raise SourceError(f"{root / FOLDERS[split]} must hold {counts[split]} pictures, found {total}")
    if what == "labels":
        return np.repeat(np.arange(classes), [len(names) for names in found]).astype(np.int16)
    places = [folder / name for folder, names in zip(folders, found, strict=True) for name in names]
    _decode(places)
    rows = np.zeros((total, WIDTH), np.uint8)
    for row, path in zip(rows, places, strict=True):
        name = str(path.relative_to(root)).encode()
        if len(name) > WIDTH:
            raise SourceError(f"{path} must have a name of at most {WIDTH} bytes from {root} on, found {len(name)}")
        row[: len(name)] = np.frombuffer(name, np.uint8)
    return rows


def _classes(root: Path, split: str, count: int) -> list[Path]:
    folder = root / FOLDERS[split]
    if not folder.is_dir():
        raise SourceError(f"{root} must hold {WHAT}, found no {FOLDERS[split]}")
    found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if stray := next((path for path in found if not path.is_dir()), None):
        raise SourceError(f"{folder} must hold one folder for each class, found the file {stray.name}")
    if len(found) != count:
        raise SourceError(f"{folder} must hold {count} folders, found {len(found)}")
    return found


def _decode(places: list[Path]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for _ in pool.map(_look, places):
                pass
        except SourceError:
            pool.shutdown(cancel_futures=True)
            raise


def _look(path: Path) -> None:
    try:
        with Image.open(path) as picture:
            if min(picture.size) < _LEAST:
                raise SourceError(f"{path} must be at least {_LEAST} pixels wide and high, found {picture.size}")
            picture.draft("RGB", _DRAFT)  # decodes a JPEG at an eighth: all of the file is read, fewer pixels are made
            picture.load()
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise SourceError(f"{path} is damaged or cut off ({error})") from None
