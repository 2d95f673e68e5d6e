"""Stage `prepare`: builds all problems' arrays from data/raw/ and checks them against their pinned hashes.

What is already right by its pins is left alone, and the rest shared out over the cores. Problems whose data could not
be had (`fetch` says which) are left out.
"""

import argparse
import importlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines import _arrays, _missing
from pipelines._blocks import unknown
from pipelines._jobs import asked, jobs
from pipelines._watchdog import drivers, end_with, workers

if TYPE_CHECKING:
    from pipelines._params import Params, Problem

_RAW, _PROCESSED = Path("data/raw"), Path("data/processed")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the arrays are there, 2 for a wrong input."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.prepare",
        description=__doc__,
        epilog="example: python -m pipelines.prepare multi_mnist",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("problems", nargs="*", metavar="problem", help="names under `problems` (default: all)")
    names = parser.parse_args(argv).problems
    from pipelines._params import complain, load_or_exit  # after parsing: --help need not wait for torch

    params = load_or_exit()
    for name in names:
        if name not in params.problems:
            return complain(unknown("problem", name, params.problems))
    end_with(drivers())
    try:
        missing = _missing.read()
        _missing.refuse(missing, required=False)
        wanted = names or [name for name in params.problems if name not in _missing.problems_without(missing)]
        left = [name for name in wanted if not _right(name, params.problems[name])]
        _PROCESSED.mkdir(parents=True, exist_ok=True)
        groups = _alike(left, params)
        count = min(jobs(asked("JOBS", None)), max(1, len(groups)))
        if count == 1:
            for group in groups:
                build_once(group, params)
        else:
            with workers(count, "spawn") as pool:
                list(pool.map(build_once, groups, repeat(params)))
    except (ValueError, OSError) as error:
        return complain(error)
    if not names:
        for stranger in _PROCESSED.glob("[!.]*"):
            if stranger.name not in params.problems:
                shutil.rmtree(stranger)
    print(f"prepare: {len(left)} of {len(wanted)} problems built, the others were right")
    return 0


def _alike(names: Sequence[str], params: "Params") -> list[list[str]]:
    """Problems whose arrays are one and the same, together."""
    found: dict[str, list[str]] = {}
    for name in names:
        problem = params.problems[name]
        found.setdefault(repr((problem.module, sorted(problem.prepare.items()))), []).append(name)
    return list(found.values())


def build_once(names: Sequence[str], params: "Params") -> None:
    """Builds the arrays that problems share. Raises ValueError where they are not those that each of them pins."""
    problem = params.problems[names[0]]
    raw = {source: read(_RAW / source, params.datasets[source]["arrays"]) for source in sorted(problem.sources)}
    arrays = build(problem, raw)
    found = hashes(arrays)
    for name in names:
        check(name, params.problems[name].sha256, found)
    _arrays.install(arrays, _PROCESSED / names[0])
    for name in names[1:]:
        _arrays.install_again(_PROCESSED / names[0], _PROCESSED / name)
    lines = [f"{', '.join(names)}/{array}: {values.shape} {values.dtype}, sha256 {found[array]}" for array, values in
             sorted(arrays.items())]  # fmt: skip
    print("\n".join(lines), flush=True)


def _right(name: str, problem: "Problem") -> bool:
    """Whether the arrays are there and are the pinned ones; what is not pinned is always built."""
    try:
        return bool(problem.sha256) and bool(_arrays.hashes_of(_PROCESSED / name, problem.sha256))
    except ValueError:
        return False


def build(problem: "Problem", raw: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What the problem's module makes of raw arrays. Raises ValueError where it can make nothing of them."""
    try:
        made: dict[str, np.ndarray] = importlib.import_module(f"gradsurgery.problems.{problem.module}").prepare(
            raw, problem.prepare
        )
        return made
    except (LookupError, TypeError) as error:  # what arrays of another make-up do to it
        raise ValueError(
            f"{', '.join(str(_RAW / name) for name in raw)} must hold what `{problem.module}` is built from, found "
            f"{type(error).__name__}: {str(error).splitlines()[0]}: remove it and run `python -m pipelines.fetch`."
        ) from None


def read(folder: Path, pins: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of one raw data set. Raises ValueError, naming the file, for one that is not what `fetch` verified."""
    remedy = f"remove {folder} and run `python -m pipelines.fetch {folder.name}`"
    if not folder.is_dir():
        raise ValueError(f"{folder} must exist, found none: run `python -m pipelines.fetch {folder.name}` first.")
    arrays = {name: _arrays.read(folder / f"{name}.npy", remedy) for name in sorted(pins)}
    for name, array in arrays.items():
        if "sha256" in pins[name] and (found := _arrays.sha256_of(array)) != pins[name]["sha256"]:
            raise ValueError(
                f"{folder / name}.npy must hold the values that data/pins.yaml pins for `{folder.name}.{name}`, "
                f"{pins[name]['sha256'][:12]}.., found {found[:12]}..: {remedy}."
            )
    return arrays


def hashes(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """sha256 of every array's values in C order."""
    return {name: _arrays.sha256_of(arrays[name]) for name in sorted(arrays)}


def check(problem: str, pinned: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Refuses arrays that are not the pinned ones. Nothing is checked while nothing is pinned."""
    if not pinned:
        print(f"{problem}: no hashes in data/pins.yaml, so nothing was checked", file=sys.stderr)
        return
    for array in sorted({*pinned, *found}):
        if pinned.get(array) != found.get(array):
            raise ValueError(
                f"`data/pins.yaml: problems.{problem}.{array}` must be the hash of what was built, {found.get(array)}, "
                f"found {pinned.get(array)}."
            )


if __name__ == "__main__":
    sys.exit(main())
