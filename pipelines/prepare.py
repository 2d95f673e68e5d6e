"""Stage `prepare`: builds one problem's arrays from data/raw/ and checks them against the hashes in params.yaml."""

import argparse
import hashlib
import importlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipelines._blocks import unknown

_RAW, _PROCESSED = Path("data/raw"), Path("data/processed")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.prepare",
        description=__doc__,
        epilog="example: python -m pipelines.prepare multi_mnist",
    )
    parser.add_argument("problem", help="a name under `problems` in params.yaml")
    name = parser.parse_args().problem
    from pipelines._params import complain, load_or_exit  # after parsing: --help need not wait for torch

    problems = load_or_exit().problems
    if name not in problems:
        return complain(unknown("problem", name, problems))
    problem = problems[name]
    try:
        sources = {problem.prepare[side] for side in ("left", "right") if side in problem.prepare}
        raw = {source: read(_RAW / source) for source in sorted(sources)}
        arrays = importlib.import_module(f"gradsurgery.problems.{problem.module}").prepare(raw, problem.prepare)
        found = hashes(arrays)
        check(name, problem.sha256, found)
        write(arrays, _PROCESSED / name)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for array, values in sorted(arrays.items()):
        print(f"{name}/{array}: {values.shape} {values.dtype}, sha256 {found[array]}")
    return 0


def read(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of one raw data set."""
    if not folder.is_dir():
        raise ValueError(f"{folder} must exist, found none: run `python -m pipelines.fetch {folder.name}` first.")
    return {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}


def hashes(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """sha256 of every array's values in C order."""
    return {name: hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in sorted(arrays)}


def check(problem: str, pinned: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Refuses arrays that are not the pinned ones. Nothing is checked while nothing is pinned."""
    if not pinned:
        print(f"{problem}: no hashes under problems.{problem}.sha256, so nothing was checked", file=sys.stderr)
        return
    for array in sorted({*pinned, *found}):
        if pinned.get(array) != found.get(array):
            raise ValueError(
                f"`problems.{problem}.sha256.{array}` must be the hash of what was built, {found.get(array)}, "
                f"found {pinned.get(array)}."
            )


def write(arrays: Mapping[str, np.ndarray], target: Path) -> None:
    """Writes beside the target and renames, so that the target is never half there."""
    staging = target.with_name(f".{target.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    for name, values in arrays.items():
        np.save(staging / f"{name}.npy", values)
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)


if __name__ == "__main__":
    sys.exit(main())
