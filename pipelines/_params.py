"""params.yaml, read whole and checked whole before any stage does anything.

A wrong line anywhere ends every stage with one sentence on stderr and exit code 2, so that a typing error in the last
line is found in the first seconds and not after an hour. Values are handed on as plain, typed sections.

Lines are built whole, without data, at all three scales: what is wrong at another scale than the one in force would
otherwise be found by whoever changes the scale. That takes a second or two, and a process whose driver has done so for
this very file leaves it out: the driver says so in the environment.
"""

import dataclasses
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines._bands import check_metrics, check_regression
from pipelines._blocks import fields, known, named, whole_blocks
from pipelines._datasets import read_datasets
from pipelines._device import Compute, read_compute, with_precision
from pipelines._pins import load_pins, read_pins
from pipelines._problems import FRESH, LONG, SCALES, SIDES, Problem, read_problems
from pipelines._protocol import NAME as PROTOCOL
from pipelines._protocol import first_seed
from pipelines._studies import Search, read_studies
from pipelines._table import Experiment, check_methods, check_whole, read_method, read_table
from pipelines._yaml import check_plain, read_yaml

CHECKED = "GRADSURGERY_PARAMS_CHECKED"  # sha256 of the params.yaml that the driver has checked line by line


@dataclasses.dataclass(frozen=True)
class Params:
    """What stages read.

    Attributes:
        used: data sets that some problem reads, at whatever scale.
    """

    scale: str
    datasets: Mapping[str, Any]
    problems: Mapping[str, Problem]
    experiments: Mapping[str, Experiment]
    regression: Mapping[str, Any]
    studies: Mapping[str, Search]
    compute: Compute
    used: frozenset[str] = frozenset()

    def experiment(self, name: str) -> Experiment:
        """Raises ValueError, with the nearest names, for an experiment that is not in the table."""
        return self.experiments[known("experiment", name, self.experiments)]


def load_or_exit(path: Path = Path("params.yaml"), scale: str | None = None) -> Params:
    """`load`, for entry points: a wrong file ends the process with its one sentence and exit code 2."""
    try:
        return load(path, scale)
    except ValueError as error:
        sys.exit(complain(error))


def sha256_of(path: Path) -> str:
    """Of the file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def complain(error: Exception) -> int:
    """Prints a wrong input's one sentence on stderr; the exit code to leave with."""
    print(f"error: {error}", file=sys.stderr)
    return 2


def load(path: Path = Path("params.yaml"), scale: str | None = None) -> Params:
    """The checked contents of `path`, at the scale in force or another.

    Raises ValueError for anything missing, unknown or of the wrong kind.
    """
    if not path.is_file():
        raise ValueError(f"{path} must exist in the current folder, found none: run from the repository's root.")
    trusted = os.environ.get(CHECKED) == sha256_of(path)
    registered = path.with_name(PROTOCOL)
    first = first_seed(read_yaml(registered)) if registered.is_file() else FRESH
    return read(read_yaml(path), load_pins(), str(path), trusted, first, scale)


def read(
    document: Any, pins: Any, where: str = "params.yaml", trusted: bool = False, first: int = FRESH,
    scale: str | None = None,
) -> Params:  # fmt: skip
    """What `load` makes of a file's contents.

    Args:
        document: what YAML reads in it.
        pins: what YAML reads in data/pins.yaml.
        where: its name in errors.
        trusted: whether these very contents have been checked before.
        first: the first of the fresh seeds.
        scale: the one to read it at, where that is not the one in force.
    """
    top = fields(where, document, {"scale", "datasets", "problems", "methods", "regression"}, {"compute", "studies"})
    check_plain("", document)
    scale = known("scale", scale or top["scale"], SCALES)
    hashes = read_pins(pins, {section: named(section, top[section]) for section in ("datasets", "problems")})
    datasets = read_datasets(top["datasets"], hashes["datasets"])
    methods = named("methods", top["methods"])
    for name, block in methods.items():
        read_method(f"methods.{name}", block, methods)
    studied = {} if top.get("studies") is None else top["studies"]
    compute = read_compute(top.get("compute", {}))
    check_regression(top["regression"])

    metrics: dict[str, set[str]] = {}

    def at(scale: str) -> Params:
        problems = read_problems(top["problems"], datasets, hashes["problems"], scale, first)
        lines = with_precision(read_table(problems, methods, scale, first), compute)
        if not trusted:
            for owner, own in check_whole(lines, problems, scale).items():
                metrics.setdefault(owner, set()).update(own)
        # a study tunes at a scale of minutes; what it found stands in the lines of those of hours
        studies = read_studies(studied, scale, lines, problems, first) if scale not in LONG else {}
        return Params(scale, datasets, problems, lines, top["regression"], studies, compute)

    found = at(scale)
    for other in () if trusted else SCALES:
        if other != scale:
            at(other)
    if not trusted:
        check_metrics(top["regression"], metrics)
    problems = whole_blocks("problems", top["problems"])
    for name, block in problems.items():
        check_methods(f"problems.{name}.methods", block["methods"], methods)
    said = [block["prepare"] for block in problems.values()]
    return dataclasses.replace(found, used=frozenset(own[side] for own in said for side in SIDES & own.keys()))
