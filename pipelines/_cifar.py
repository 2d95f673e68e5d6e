"""CIFAR-100 in the two forms that `fetch` knows, both in one order: by class, within a class by the pictures' names.

The official archive holds one pickle a split, in an order of its own. A pickle can run code when it is read, so one is
read only when its md5 is the pinned one, and then by a reader that knows the four names such a pickle needs. The other
form is ours: mosaics of 100 x 100 pictures as lossless WebP, already in the order above, and the classes beside them.
"""

import hashlib
import io
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

_CLASSES = "fine_labels.npz"
_MOSAICS = {"train": 5, "test": 1}
_TILES, _SIDE = 100, 32  # tiles in a row or column of a mosaic, pixels in a row or column of a tile
_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],  # the module has moved since 2009
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def mosaics(split: str) -> list[str]:
    """Names of the files that stand for one split where its pickle is missing."""
    return [f"{split}_{part}.webp" for part in range(_MOSAICS[split])]


def names(split: str) -> list[str]:
    """Names of all files that one split may be read from."""
    return [split, *mosaics(split), _CLASSES]


def decode(
    contents: Mapping[str, bytes], split: str, values: Literal["images", "labels"], md5: str
) -> UInt8[np.ndarray, "..."]:
    """The pictures (N, 32, 32, 3) or the classes 0..99 of one split, from the pickle or else from the mosaics.

    Raises:
        ValueError: a file is missing, is not the pinned one, or does not hold what it should.
    """
    if split in contents:
        return _from_pickle(contents[split], split, md5)[values]
    wanted = [_CLASSES] if values == "labels" else mosaics(split)
    missing = [name for name in wanted if name not in contents]
    if missing:
        raise ValueError(f"{split} of cifar-100-python.tar.gz is missing, and so is {missing[0]}")
    if values == "labels":
        return _classes(contents[_CLASSES], split)
    return np.concatenate([_mosaic(contents[name], name) for name in wanted])


def table_of(body: bytes, name: str, md5: str) -> dict[str, Any]:
    """What the pickle with this md5 holds. Raises ValueError for any other, or where it holds something else."""
    found = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if found != md5:
        raise ValueError(f"{name} has md5 {found[:12]}.., not {md5[:12]}..; a pickle that is not known is not read")
    try:
        return dict(_Reader(io.BytesIO(body), encoding="latin1").load())
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is no pickle of CIFAR ({error})") from None


def pictures_of(table: Mapping[str, Any], name: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 32, 32, 3) and the classes under `labels`. Raises ValueError where the table holds others."""
    try:
        classes = np.asarray(table[labels], np.uint8)
        rows = np.asarray(table["data"], np.uint8).reshape(len(classes), 3, _SIDE, _SIDE)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is no pickle of CIFAR ({error})") from None
    return np.ascontiguousarray(rows.transpose(0, 2, 3, 1)), classes


def _from_pickle(body: bytes, split: str, md5: str) -> dict[str, np.ndarray]:
    table = table_of(body, split, md5)
    pictures, labels = pictures_of(table, split, "fine_labels")
    try:
        # The official class numbers are alphabetical, so that they sort as the classes' names do.
        order = np.lexsort((np.array(table["filenames"]), labels))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{split} is no pickle of CIFAR ({error})") from None
    return {"images": pictures[order], "labels": labels[order]}


class _Reader(pickle.Unpickler):
    """Reads arrays of numpy and plain values; whatever else a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _KNOWN[module, name]


def _mosaic(body: bytes, name: str) -> UInt8[np.ndarray, "10000 32 32 3"]:
    try:
        with Image.open(io.BytesIO(body), formats=["WEBP"]) as picture:
            if picture.size != (_TILES * _SIDE, _TILES * _SIDE):
                raise ValueError(f"{name} must be {_TILES * _SIDE} pixels wide and high, found {picture.size}")
            pixels = np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{name} is no complete WebP picture ({error})") from None
    tiles = pixels.reshape(_TILES, _SIDE, _TILES, _SIDE, 3).transpose(0, 2, 1, 3, 4)
    return tiles.reshape(_TILES * _TILES, _SIDE, _SIDE, 3)


def _classes(body: bytes, split: str) -> UInt8[np.ndarray, " n"]:
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as file:
            return np.asarray(file[split], np.uint8)
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{_CLASSES} is damaged ({error})") from None
