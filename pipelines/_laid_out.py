"""Data sets that are read where they lie, each by a module of its own: thousands of files, or columns of a table."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipelines import _celeba, _cifar10, _ct, _imagenet, _pascal, _scenes
from pipelines._download import SourceError

READERS: dict[str, Callable[[Path, str, str], np.ndarray]] = {
    "nyuv2": lambda root, split, what: _scenes.read(root, "nyuv2", split, what),
    "cityscapes": lambda root, split, what: _scenes.read(root, "cityscapes", split, what),
    "celeba": _celeba.read,
    "cifar10": _cifar10.read,
    "imagenet": _imagenet.read,
    "pascal_context": _pascal.read,
    "ct": _ct.read,
}
_ASKED = ("imagenet", "pascal_context", "ct")  # sets that nobody may use without having agreed to a text
ACCEPTED = "LICENCE.accepted"
_COPIES = 3  # in the cache, in data/raw and in data/processed
_WHAT = {
    "celeba": _celeba.WHAT,
    "cifar10": _cifar10.WHAT,
    "imagenet": _imagenet.WHAT,
    "pascal_context": _pascal.WHAT,
    "ct": _ct.WHAT,
}


def read(root: Path, form: str, split: str, what: str) -> np.ndarray:
    """One array of one split from the folder `root`, checked.

    Raises SourceError for a folder that is not the set's, or whose licence nobody has accepted.
    """
    if form in _ASKED and not (root / ACCEPTED).is_file():
        raise SourceError(
            f"{root} must hold a file {ACCEPTED}, by which you say that you accept the licence shown above, found none"
        )
    return READERS[form](root, split, what)


def save(root: Path, form: str, split: str, what: str, target: Path) -> None:
    """Writes one array as a file. Raises SourceError as `read` does, and where the disk has too little room."""
    values = read(root, form, split, what)
    free = shutil.disk_usage(target.parent).free
    if free < (needed := _COPIES * values.nbytes):
        raise SourceError(
            f"{target.parent} must have {needed / 1e9:.1f} GB of room for {what} of {split}, which are kept {_COPIES} "
            f"times, found {free / 1e9:.1f} GB"
        )
    np.save(target, values)


def spoken(form: str, split: str, what: str) -> str:
    """What the folder must hold for one array."""
    return _WHAT.get(form, f"{what} of {split} in {_scenes.WHAT}")
