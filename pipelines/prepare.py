"""Stage `prepare`: builds one problem's arrays from data/raw/ and checks them against the hashes in params.yaml."""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines import _arrays
from pipelines._blocks import unknown

if TYPE_CHECKING:
    from pipelines._params import Problem

_RAW, _PROCESSED = Path("data/raw"), Path("data/processed")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the arrays are there, 2 for a wrong input."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.prepare",
        description=__doc__,
        epilog="example: python -m pipelines.prepare multi_mnist",
    )
    parser.add_argument("problem", help="a name under `problems` in params.yaml")
    name = parser.parse_args(argv).problem
    from pipelines._params import complain, load_or_exit  # after parsing: --help need not wait for torch

    params = load_or_exit()
    problems = params.problems
    if name not in problems:
        return complain(unknown("problem", name, problems))
    problem = problems[name]
    try:
        sources = {problem.prepare[side] for side in ("left", "right") if side in problem.prepare}
        raw = {source: read(_RAW / source, params.datasets[source]["arrays"]) for source in sorted(sources)}
        arrays = build(problem, raw)
        found = hashes(arrays)
        check(name, problem.sha256, found)
        _arrays.install(arrays, _PROCESSED / name)
    except (ValueError, OSError) as error:
        return complain(error)
    for array, values in sorted(arrays.items()):
        print(f"{name}/{array}: {values.shape} {values.dtype}, sha256 {found[array]}")
    return 0


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
            f"{type(error).__name__}: {str(error).splitlines()[0]}: remove it and run `dvc repro fetch@<data set>`."
        ) from None


def read(folder: Path, pins: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of one raw data set. Raises ValueError, naming the file, for one that is not what `fetch` verified."""
    remedy = f"remove {folder} and run `dvc repro fetch@{folder.name}`"
    if not folder.is_dir():
        raise ValueError(f"{folder} must exist, found none: run `python -m pipelines.fetch {folder.name}` first.")
    arrays = {name: _arrays.read(folder / f"{name}.npy", remedy) for name in sorted(pins)}
    for name, array in arrays.items():
        if (found := _arrays.sha256_of(array)) != pins[name]["sha256"]:
            raise ValueError(
                f"{folder / name}.npy must hold the values that `datasets.{folder.name}.arrays.{name}` pins, "
                f"{pins[name]['sha256'][:12]}.., found {found[:12]}..: {remedy}."
            )
    return arrays


def hashes(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """sha256 of every array's values in C order."""
    return {name: _arrays.sha256_of(arrays[name]) for name in sorted(arrays)}


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


if __name__ == "__main__":
    sys.exit(main())
