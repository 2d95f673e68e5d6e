"""Arrays in a folder, one `.npy` file each: read or refused by name, hashed by their values, replaced as a whole.

What a run records of its data is computed from the files it reads, once a command and problem.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from pipelines._files import UnwritableError


def read(path: Path, remedy: str, mapped: bool = False) -> np.ndarray:
    """One array of numbers, from memory or mapped. Raises ValueError, with what to do about it, for anything else."""
    try:
        found = np.load(path, mmap_mode="r" if mapped and path.stat().st_size else None, allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"{path} must exist, found nothing: {remedy}.") from None
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError) as error:
        said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ValueError(f"{path} must be a whole .npy file of numbers, found: {said}: {remedy}.") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        kind = found.dtype if isinstance(found, np.ndarray) else "an archive"
        raise ValueError(f"{path} must be a whole .npy file of numbers, found {kind}: {remedy}.")
    return found


def sha256_of(array: np.ndarray) -> str:
    """Of the values in C order, whatever the file's own order."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def hashes_of(folder: Path, pinned: Mapping[str, str]) -> dict[str, str]:
    """sha256 of every array of one problem, as it lies on the disk now.

    Args:
        folder: data/processed/<problem>.
        pinned: what the arrays must hash to; where nothing is pinned, whatever is there is taken.

    Raises:
        ValueError: naming the file, for an array that is missing, damaged, unknown or not the pinned one.
    """
    remedy = _remedy(folder)
    files = {path.stem: path for path in sorted(folder.glob("*.npy"))}
    if not files:
        raise ValueError(
            f"{folder} must hold the problem's arrays, found none: run `python -m pipelines.prepare {folder.name}` "
            "first."
        )
    for name in sorted(pinned):
        if name not in files:
            raise ValueError(f"{folder / name}.npy must exist, found nothing: {remedy}.")
    found: dict[str, str] = {}
    for name, path in files.items():
        if pinned and name not in pinned:
            raise ValueError(f"{path} must be one of the problem's arrays ({', '.join(sorted(pinned))}): remove it.")
        array = read(path, remedy)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{path} must hold finite numbers, found one that is not: {remedy}.")
        found[name] = sha256_of(array)
        if pinned and found[name] != pinned[name]:
            raise ValueError(
                f"{path} must hold the values that data/pins.yaml pins for it, {pinned[name][:12]}.., "
                f"found {found[name][:12]}..: {remedy}."
            )
    load(folder, files)  # shapes and types, which no hash of values covers
    return found


def load(folder: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of one problem, mapped from the disk. Raises ValueError, naming the file, for one that does not fit.

    A hash covers values alone. That no file lost its shape or type is seen by its companions: the arrays of one name
    agree over train, val and test in everything but the number of rows.
    """
    remedy = _remedy(folder)
    found = {name: read(folder / f"{name}.npy", remedy, mapped=True) for name in names}
    for name, array in found.items():
        split, _, what = name.partition("_")
        if f"train_{what}" not in found or split not in ("train", "val", "test"):
            continue
        if (companion := f"train_{what}" if split != "train" else f"test_{what}") not in found:
            raise ValueError(f"{folder / companion}.npy must exist beside {name}.npy, found nothing: {remedy}.")
        other = found[companion]
        apart = sum(a != b for a, b in zip(array.shape, other.shape, strict=False))
        rows = {
            own.shape[:1]
            for n, own in found.items()
            if n.startswith(f"{split}_") and f"train_{n[len(split) + 1 :]}" in found
        }
        if array.dtype != other.dtype or array.ndim != other.ndim or apart > 1 or len(rows) > 1:
            raise ValueError(
                f"{folder / name}.npy must be like its companions, {other.dtype} {other.shape} in another split, found "
                f"{array.dtype} {array.shape}: {remedy}."
            )
    return found


def install(arrays: Mapping[str, np.ndarray], target: Path) -> None:
    """Writes a folder of arrays. Raises UnwritableError: no room, no permission."""

    def write(staging: Path) -> None:
        for name, array in arrays.items():
            np.save(staging / f"{name}.npy", array)

    _replace(target, write)


def install_again(source: Path, target: Path) -> None:
    """Another folder of the same arrays, which lie on the disk once where its file system can do that. Raises as
    `install` does."""

    def write(staging: Path) -> None:
        for path in source.glob("*.npy"):
            try:
                os.link(path, staging / path.name)
            except OSError:
                shutil.copy2(path, staging / path.name)

    _replace(target, write)


def _replace(target: Path, write: Callable[[Path], None]) -> None:
    """Writes beside the target and renames: it is absent or complete at every instant, and nothing is left."""
    staging, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
    try:
        for leftover in (staging, old):
            shutil.rmtree(leftover, ignore_errors=True)
        staging.mkdir(parents=True)
        write(staging)
        if target.exists():
            target.rename(old)
        staging.rename(target)
    except OSError as error:
        if old.exists() and not target.exists():
            old.rename(target)
        raise UnwritableError(target, error.strerror or str(error)) from None
    finally:
        for leftover in (staging, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _remedy(folder: Path) -> str:
    return f"remove {folder} and run `python -m pipelines.prepare {folder.name}`"
