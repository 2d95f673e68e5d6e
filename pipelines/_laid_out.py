"""Data sets that are read where they lie, each by a module of its own: thousands of files, or columns of a table."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipelines import _celeba, _cifar10, _scenes

READERS: dict[str, Callable[[Path, str, str], np.ndarray]] = {
    "nyuv2": lambda root, split, what: _scenes.read(root, "nyuv2", split, what),
    "cityscapes": lambda root, split, what: _scenes.read(root, "cityscapes", split, what),
    "celeba": _celeba.read,
    "cifar10": _cifar10.read,
}
_WHAT = {"celeba": _celeba.WHAT, "cifar10": _cifar10.WHAT}


def read(root: Path, form: str, split: str, what: str) -> np.ndarray:
    """One array of one split from the folder `root`, checked. Raises SourceError for a folder that is not the set's."""
    return READERS[form](root, split, what)


def spoken(form: str, split: str, what: str) -> str:
    """What the folder must hold for one array."""
    return _WHAT.get(form, f"{what} of {split} in {_scenes.WHAT}")
