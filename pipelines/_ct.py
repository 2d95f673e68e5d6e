"""Head-and-neck CT from the user's own copies of three sets, each as it is given out: nothing of it is copied.

    rsna_hemorrhage/       RSNA's set of 2019: stage_2_train/ID_000012eaf.dcm ..
    rsna_cervical_spine/   RSNA's set of 2022: train_images/<study>/1.dcm ..
    radcure/               RADCURE's series of CT alone: RADCURE-0005/<study>/<series>/1-001.dcm ..

Each of the three may be a link. How folders lie below them does not matter, as every slice names its patient; but they
must hold slices (.dcm) and nothing else. The arrays are the files' names, in order, and the numbers of their patients;
slices are read from the folder while a network trains. Each is decoded once here, several at a time, as a file that is
cut off would otherwise end a run of days, and each must be there once, or a copy could stand in two splits.

GCond's paper counts 2,199,444 slices, and does not say how many of which set. Another number is said, and refused where
it is off by more than one in a hundred. Nobody may hand out all three, so that nobody could check this against the real
files here but by that count.
"""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Shaped

from gradsurgery.problems._slices import hounsfield, identity
from pipelines._download import SourceError

SETS = ("radcure", "rsna_cervical_spine", "rsna_hemorrhage")
WHAT = f"{', '.join(SETS[:-1])} and {SETS[-1]}, each with the slices (.dcm) of that set, in any folders"
ALLOWED = "LICENCE.accepted"
COUNT = 2_199_444
WIDTH = 255  # bytes of a name from the folder on, at most
_OFF = 0.01  # of the count
_AT_ONCE = 4096  # slices whose results wait at a time
_NAMED = 20  # files that are wrong: no more are looked for
_T = TypeVar("_T")


def read(root: Path, split: str, what: str, count: int = COUNT) -> Shaped[np.ndarray, "n ..."]:
    """Names (n, longest), uint8, as bytes that end in zeros, or the numbers of patients (n,), int32, from 0.

    Args:
        root: the folder.
        split: "all"; `prepare` draws the splits.
        what: "files" or "patients".
        count: slices of the paper; another only for files made in a test.

    Raises:
        SourceError: a set or slice is missing, too many, cut off or no slice of CT, one is there twice, or pydicom is
            not installed.
    """
    places = {name: _places(root, name) for name in SETS}
    total = sum(map(len, places.values()))
    each = ", ".join(f"{len(own):,} in {name}" for name, own in places.items())
    if abs(total - count) > _OFF * count:
        raise SourceError(f"{root} must hold {count:,} slices, to one in a hundred, found {total:,} ({each})")
    if what == "patients":
        return _patients(places)
    if total != count:
        print(f"warning: {root} holds {total:,} slices ({each}), not the paper's {count:,}", file=sys.stderr)
    for _ in _through(hounsfield, [path for own in places.values() for path in own]):
        pass
    names = [str(path.relative_to(root)).encode() for own in places.values() for path in own]
    if (longest := max(map(len, names))) > WIDTH:
        name = max(names, key=len).decode(errors="replace")
        raise SourceError(f"{root / name} must have a name of at most {WIDTH} bytes from {root} on, found {longest}")
    return np.array(names, f"S{longest}").view(np.uint8).reshape(total, longest)


def _places(root: Path, name: str) -> list[Path]:
    """The slices of one set, in order."""
    odd = sorted(path.name for path in root.iterdir() if path.name not in (*SETS, ALLOWED) and path.name[0] != ".")
    if odd or not (root / name).is_dir():
        raise SourceError(f"{root} must hold {WHAT}, found {odd[0] if odd else f'no {name}'}")
    found = sorted(
        Path(folder, file)
        for folder, _, files in os.walk(root / name, followlinks=True)
        for file in files
        if not file.startswith(".")
    )
    if strange := next((path for path in found if path.suffix.lower() != ".dcm"), None):
        raise SourceError(f"{root / name} must hold slices (.dcm) and nothing else, found {strange}")
    if not found:
        raise SourceError(f"{root / name} must hold slices (.dcm), found none")
    return found


def _patients(places: dict[str, list[Path]]) -> Shaped[np.ndarray, " n"]:
    """Numbers in the order of the patients' names, those of one set before those of the next."""
    seen, names = dict[str, Path](), list[str]()
    for name, own in places.items():
        for path, (patient, own_slice) in zip(own, _through(identity, own), strict=True):
            if (other := seen.setdefault(own_slice, path)) is not path:
                raise SourceError(f"{path} must be a slice of its own, found the slice of {other}")
            names.append(f"{name}/{patient}")
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.int32)


def _through(look: Callable[[Path], _T], places: list[Path]) -> Iterator[_T]:
    """What is seen in every file. Raises SourceError at the end, for the first that is wrong, with the names of others:
    looking at millions takes hours."""

    def tried(path: Path) -> _T | ValueError:
        try:
            return look(path)
        except ValueError as error:
            return error

    wrong = dict[Path, str]()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(places), _AT_ONCE):
            chunk = places[start : start + _AT_ONCE]
            for path, seen in zip(chunk, pool.map(tried, chunk), strict=True):
                if isinstance(seen, ValueError):
                    wrong[path] = str(seen).rstrip(".")
                elif not wrong:
                    yield seen
            if len(wrong) >= _NAMED:
                break
    if wrong:
        first, *more = wrong
        rest = f"; likewise {', '.join(path.name for path in more[:_NAMED])}" if more else ""
        raise SourceError(wrong[first] + rest)
