"""One data set, from the first of its sources that gives the right arrays. Nothing unverified leaves the cache."""

import hashlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from pipelines._arrays import install, read
from pipelines._download import SourceError
from pipelines._formats import Pin, decoded, verify
from pipelines._knock import told
from pipelines._sources import MIRROR, Way, mirrored, ways


class AbsentError(SourceError):
    """No source gave a data set: why, for each of them."""

    def __init__(self, name: str, dataset: Mapping[str, Any], reasons: Sequence[str]) -> None:
        super().__init__(told(name, dataset, reasons))
        self.reasons = list(reasons)


def fetch(name: str, dataset: Mapping[str, Any], raw: Path, cache: Path, mirror: Path | None) -> None:
    """Puts the verified arrays of one data set into `raw`/`name`.

    Args:
        name: of the data set.
        dataset: its block of params.yaml.
        raw: folder of all raw data sets.
        cache: folder for downloads; what is left there after an interruption is continued.
        mirror: folder with a folder `name`, which holds the files or one of the packages; or None.

    Raises:
        AbsentError: no source gave the right arrays; says why for each, and what to do by hand.
    """
    pins, target, tried = dataset["arrays"], raw / name, ways(name, dataset)
    unpinned = [array for array, pin in pins.items() if "sha256" not in pin]
    if target.is_dir() and not unpinned:
        try:
            for array, pin in pins.items():
                verify(array, read(target / f"{array}.npy", "fetched anew"), pin)
            print(f"{name}: already in {target}, verified.")
            return
        except (SourceError, OSError, ValueError) as error:
            print(f"{name}: {target} is damaged ({error}); fetching it anew.")
    print(f"{name}: {dataset.get('title', 'no title given')}. Licence: {dataset.get('licence', 'none given')}.")
    raw.mkdir(parents=True, exist_ok=True)
    reasons = []
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{name}.lock"):  # two fetches, say from two clones, write into one partial file
        for way in [*tried, mirrored(mirror, name, pins)]:
            print(f"{name}: trying {way.label}", flush=True)
            try:
                found = _take(way, pins, cache / name, fresh=not way.label.startswith(MIRROR))
            except SourceError as error:
                print(f"{name}: no: {error}")
                reasons.append(f"{way.label}: {error}")
                continue
            install(found, target)
            shutil.rmtree(cache / name, ignore_errors=True)
            print(f"{name}: {len(found)} arrays in {target}, from {way.label}.")
            for array in unpinned:
                hashed = hashlib.sha256(found[array].tobytes()).hexdigest()
                print(f"warning: data/pins.yaml holds no sha256 of `datasets.{name}.{array}`, so nothing was checked; "
                      f"what came is sha256: {hashed}", file=sys.stderr)  # fmt: skip
            return
    raise AbsentError(name, dataset, reasons)


def _take(way: Way, pins: Mapping[str, Pin], folder: Path, fresh: bool) -> dict[str, np.ndarray]:
    """The verified arrays by one way. What turns out wrong is removed, and fetched anew once if `fresh`."""
    for last in (False, True) if fresh else (True,):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            way.obtain(folder)
        except OSError as error:
            raise SourceError(str(error)) from None
        try:
            found = decoded(folder, pins)
            for array, pin in pins.items():
                verify(array, found[array], pin)
            return found
        except SourceError as error:
            shutil.rmtree(folder)
            if last:
                raise
            print(f"  {error}; removed, once more from the start")
    raise AssertionError
