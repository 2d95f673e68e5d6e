"""CamVid in the two forms that `fetch` knows: the repository of the SegNet tutorial as an archive, and packed.

The archive holds pictures of 480 x 360 and their labels as PNG, in folders CamVid/<split> and CamVid/<split>annot. Here
they are 160 x 120: pictures by Pillow's BOX filter, labels by their nearest pixel, in the order of the files' names.
The other form is ours: one .npz a split, with the results of that (`x`, `seg`).
"""

import io
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

COUNTS = {"train": 367, "val": 101, "test": 233}
_LARGE, _SMALL = (480, 360), (160, 120)  # width, height
_ENTRIES = {"images": "x", "labels": "seg"}


def packed(split: str) -> str:
    """The file of one split in the packed form."""
    return f"camvid120x160_{split}.npz"


def decode(folder: Path, split: str, values: Literal["images", "labels"]) -> UInt8[np.ndarray, "n 120 160 ..."]:
    """Pictures (n, 120, 160, 3) or labels 0..11 (n, 120, 160) of one split, from what lies in a folder.

    Raises:
        ValueError: there is neither form, or a file is missing, too many or not what it should be.
    """
    if (folder / packed(split)).is_file():
        return _unpacked(folder / packed(split), values)
    archives = sorted(folder.glob("*.tar.gz"))
    if not archives:
        raise ValueError(f"{packed(split)} is missing, and so is an archive of the SegNet tutorial")
    try:
        with tarfile.open(archives[0]) as tar:
            return _from_archive(tar, split, values, archives[0].name)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise ValueError(f"{archives[0].name} is damaged or cut off ({error})") from None


def _unpacked(path: Path, values: str) -> UInt8[np.ndarray, "n 120 160 ..."]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return np.asarray(file[_ENTRIES[values]], np.uint8)
    except (zipfile.BadZipFile, zlib.error, OSError, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{path.name} is damaged ({error})") from None


def _from_archive(tar: tarfile.TarFile, split: str, values: str, name: str) -> UInt8[np.ndarray, "n 120 160 ..."]:
    place = ("CamVid", split if values == "images" else f"{split}annot")
    found = dict[str, np.ndarray]()
    for member in tar:
        path = PurePosixPath(member.name)
        if path.suffix == ".png" and path.parts[-3:-1] == place and (stream := tar.extractfile(member)) is not None:
            found[path.name] = _picture(stream.read(), "/".join(path.parts[-3:]), labels=values == "labels")
    if len(found) != COUNTS[split]:
        raise ValueError(f"{name} must hold {COUNTS[split]} pictures in {'/'.join(place)}, found {len(found)}")
    return np.stack([found[file] for file in sorted(found)])


def _picture(body: bytes, name: str, labels: bool) -> UInt8[np.ndarray, "120 160 ..."]:
    try:
        with Image.open(io.BytesIO(body), formats=["PNG"]) as picture:
            if picture.size != _LARGE:
                raise ValueError(f"{name} must be {_LARGE[0]} x {_LARGE[1]} pixels, found {picture.size}")
            if labels:
                return np.asarray(picture.resize(_SMALL, Image.Resampling.NEAREST), np.uint8)
            return np.asarray(picture.convert("RGB").resize(_SMALL, Image.Resampling.BOX), np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{name} is no complete PNG picture ({error})") from None
