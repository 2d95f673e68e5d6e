"""params.yaml, read whole and checked whole before any stage does anything.

A wrong line anywhere ends every stage with one sentence on stderr and exit code 2, so that a typing error in the last
experiment is found in the first seconds and not after an hour. Values are handed on as plain, typed sections.

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

from gradsurgery.core.declaration import problem_of, validate
from gradsurgery.core.discovery import available, did_you_mean, make, preparation
from gradsurgery.evidence.contract import check_line
from gradsurgery.evidence.history_parts import TRACKS
from gradsurgery.evidence.roles import Role
from pipelines._blocks import fields, known, mapping, named, seed_list
from pipelines._datasets import check_hash, read_datasets
from pipelines._device import Compute, read_compute, with_precision
from pipelines._judging import check_metrics, check_regression, read_selections
from pipelines._methods import Methods, check_roles, read_methods
from pipelines._studies import Studies, read_studies
from pipelines._yaml import check_plain, read_yaml

REQUIRED = {"scale", "datasets", "problems", "methods", "experiments", "protocols", "regression"}
OPTIONAL = ("rows", "sequels", "studies")
SECTIONS = {"experiments": "train", "sequels": "sequel"}  # of lines, with their stage
SCALES = ("smoke", "laptop", "paper")
CHECKED = "GRADSURGERY_PARAMS_CHECKED"  # sha256 of the params.yaml that the driver has checked line by line
SLOTS = {"network": "networks", "transform": "transforms", "balancer": "balancers", "rule": "rules",
         "aggregator": "aggregators"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Problem:
    """What `prepare` and, at the scale in force, `train` read of one problem."""

    module: str
    prepare: Mapping[str, Any]
    sha256: Mapping[str, str]
    seeds: tuple[int, ...]
    learner: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One line of the table; `declaration` is what `gradsurgery.experiment.build_learner` takes."""

    name: str
    problem: str
    stage: str
    track: str
    seeds: tuple[int, ...]
    declaration: Mapping[str, Any]
    family: str
    role: Role


@dataclasses.dataclass(frozen=True)
class Params:
    scale: str
    datasets: Mapping[str, Any]
    problems: Mapping[str, Problem]
    experiments: Mapping[str, Experiment]
    protocols: Mapping[str, Any]
    regression: Mapping[str, Any]
    studies: Studies
    compute: Compute

    def experiment(self, name: str) -> Experiment:
        """Raises ValueError, with the nearest names, for an experiment that is not in the table."""
        return self.experiments[known("experiment", name, self.experiments)]


def load_or_exit(path: Path = Path("params.yaml")) -> Params:
    """`load`, for entry points: a wrong file ends the process with its one sentence and exit code 2."""
    try:
        return load(path)
    except ValueError as error:
        sys.exit(complain(error))


def sha256_of(path: Path) -> str:
    """Of the file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def complain(error: Exception) -> int:
    """Prints a wrong input's one sentence on stderr; the exit code to leave with."""
    print(f"error: {error}", file=sys.stderr)
    return 2


def load(path: Path = Path("params.yaml")) -> Params:
    """The checked contents of `path`. Raises ValueError for anything missing, unknown or of the wrong kind."""
    if not path.is_file():
        raise ValueError(f"{path} must exist in the current folder, found none: run from the repository's root.")
    trusted = os.environ.get(CHECKED) == sha256_of(path)
    return read(read_yaml(path), str(path), trusted)


def read(document: Any, where: str = "params.yaml", trusted: bool = False) -> Params:
    """What `load` makes of a file's contents.

    Args:
        document: what YAML reads in it.
        where: its name in errors.
        trusted: whether these very contents have been checked before.
    """
    top = fields(where, document, REQUIRED, {"compute", *OPTIONAL})
    top = {name: {} if name in OPTIONAL and block is None else block for name, block in top.items()}
    scale = known("scale", top["scale"], SCALES)
    if trusted:
        return _at(top, scale, trusted)
    check_plain("", document)
    mapping("rows", top.get("rows", {}))
    read_datasets(top["datasets"])
    params = _at(top, scale, trusted)
    for other in SCALES:
        if other != scale:
            _at(top, other, trusted)
    return params


def _at(top: Mapping[str, Any], scale: str, trusted: bool) -> Params:
    """The document as it stands at one scale; unless it is trusted, all that it declares is built, without data."""
    problems = {
        name: _problem(name, block, scale, top["datasets"])
        for name, block in named("problems", top["problems"]).items()
    }
    methods = read_methods(top["methods"])
    experiments = _table("experiments", top["experiments"], problems, methods, scale)
    sequels = _table("sequels", top.get("sequels", {}), problems, methods, scale)
    compute = read_compute(top.get("compute", {}))
    experiments, sequels = with_precision(experiments, compute), with_precision(sequels, compute)
    if repeated := sorted(set(experiments) & set(sequels)):
        raise ValueError(f"`sequels` must have names of their own, found {repeated[0]} in `experiments` too.")
    _check_evidence(experiments, sequels)
    for problem in read_selections(top["protocols"]):
        known("protocols", problem, problems)
    check_regression(top["regression"])
    lines = experiments | sequels
    check_roles(lines)
    if not trusted:
        _check_whole(problems, lines, top["regression"], scale)
    studies = read_studies(top.get("studies", {}), scale, experiments, top["protocols"])
    return Params(scale, top["datasets"], problems, lines, top["protocols"], top["regression"], studies, compute)


def _check_whole(
    problems: Mapping[str, Problem], lines: Mapping[str, Experiment], regression: Mapping[str, Any], scale: str
) -> None:
    for name, problem in problems.items():
        try:
            make(preparation(problem.module), "prepare", problem.prepare)
        except ValueError as error:
            raise ValueError(f"problems.{name}: {error}") from None
    metrics: dict[str, set[str]] = {name: set() for name in problems}
    for name, line in lines.items():
        _check_parts(line, problems[line.problem], scale)
        metrics[name] = set(problem_of(line.declaration).metrics)
        metrics[line.problem] |= metrics[name]
    check_metrics(regression, metrics)


def _problem(name: str, block: Any, scale: str, datasets: Mapping[str, Any]) -> Problem:
    where = f"problems.{name}"
    block = fields(where, block, {"module", "inputs", "prepare", "sha256", *SCALES})
    known(f"{where}.module", block["module"], available("problems"))
    prepare = mapping(f"{where}.prepare", block["prepare"])
    sources = {
        side: known(f"{where}.prepare.{side}", prepare[side], datasets) for side in ("left", "right") if side in prepare
    }
    # dvc.yaml reads `inputs`, prepare.py reads `prepare`: were they to differ, a changed data set would go unnoticed
    module = f"src/gradsurgery/problems/{block['module']}.py"
    read = {"right": sources.get("left"), **sources}  # one data set stands on both sides
    wanted = {side: f"data/raw/{read[side]}" if read.get(side) else module for side in ("left", "right")}
    if block["inputs"] != wanted:
        raise ValueError(f"`{where}.inputs` must agree with `prepare` and be {wanted}, found {block['inputs']!r}.")
    at: dict[str, tuple[tuple[int, ...], Mapping[str, Any], Mapping[str, Any]]] = {}
    for each in SCALES:
        values = dict(mapping(f"{where}.{each}", block[each]))
        own = seed_list(f"{where}.{each}.seeds", values.pop("seeds", None))
        learner = mapping(f"{where}.{each}.learner", values.pop("learner", {}))
        for shared in sorted(values.keys() & prepare.keys()):
            if values[shared] != prepare[shared]:
                raise ValueError(
                    f"`{where}.{each}.{shared}` must be that of `{where}.prepare`, {prepare[shared]!r}, "
                    f"found {values[shared]!r}."
                )
        at[each] = (own, learner, values)
    for array, pin in mapping(f"{where}.sha256", block["sha256"]).items():
        check_hash(f"{where}.sha256.{array}", pin)
    return Problem(block["module"], prepare, block["sha256"], *at[scale])


def _table(
    section: str, table: Any, problems: Mapping[str, Problem], methods: Methods, scale: str
) -> dict[str, Experiment]:
    """The lines of `experiments` or `sequels`, which are grouped by problem, under their full names."""
    found: dict[str, Experiment] = {}
    for problem, lines in mapping(section, table).items():
        if problem not in problems:
            raise ValueError(
                f"`{section}` must group lines by problem ({', '.join(problems)}), found {problem!r}"
                f"{did_you_mean(problem, problems)}"
            )
        for key, block in named(f"{section}.{problem}", lines).items():
            if f"{problem}-{key}" in found:  # problem `a-b`, line `c` and problem `a`, line `b-c`
                where = f"{section}.{problem}.{key}"
                raise ValueError(f"`{where}` must have a full name of its own, found {problem}-{key} twice.")
            found[f"{problem}-{key}"] = _experiment(section, problem, key, block, problems, methods, scale)
    return found


def _check_evidence(experiments: Mapping[str, Experiment], sequels: Mapping[str, Experiment]) -> None:
    """A sequel names an experiment that leaves layer scores; an experiment names none, or DVC would not know of it."""
    for name, sequel in sequels.items():
        where = f"sequels.{sequel.problem}.{name.removeprefix(f'{sequel.problem}-')}.evidence"
        evidence = sequel.declaration.get("evidence")
        if not isinstance(evidence, str) or evidence not in experiments:
            raise ValueError(
                f"`{where}` must name an experiment, found {evidence!r}{did_you_mean(evidence, experiments)}"
            )
        source = experiments[evidence]
        if not source.declaration.get("learner", {}).get("score_layers"):
            raise ValueError(f"`{where}` must name one with `learner.score_layers`, found {source.name}.")
    for experiment in experiments.values():
        if "evidence" in experiment.declaration:
            raise ValueError(f"`evidence` belongs to a line of `sequels`, found it in experiment {experiment.name}.")


def _experiment(
    section: str, under: str, key: str, block: Any, problems: Mapping[str, Problem], methods: Methods, scale: str
) -> Experiment:
    where = f"{section}.{under}.{key}"
    known(where, key, methods)
    block = fields(where, block, {"problem", "module", "track", *SLOTS}, {"settings", "learner", "evidence", *SCALES})
    block = _at_scale(where, block, scale)
    if known(f"{where}.problem", block["problem"], problems) != under:
        raise ValueError(f"`{where}.problem` must be the problem it stands under, found {block['problem']!r}.")
    problem = problems[block["problem"]]
    if block["module"] != problem.module:
        raise ValueError(f"`{where}.module` must be its problem's {problem.module!r}, found {block['module']!r}.")
    known(f"{where}.track", block["track"], TRACKS)
    for slot, kind in SLOTS.items():
        if "name" not in mapping(f"{where}.{slot}", block[slot]):
            raise ValueError(f"`{where}.{slot}` must hold a `name`, found {block[slot]!r}.")
        known(f"{where}.{slot}.name", block[slot]["name"], available(kind))
    settings = {**problem.settings, **mapping(f"{where}.settings", block.get("settings", {}))}
    learner = {**problem.learner, **mapping(f"{where}.learner", block.get("learner", {}))}
    declaration = {
        "problem": block["problem"],
        "module": problem.module,
        "settings": {**settings, "network": dict(block["network"])},
        **{slot: dict(block[slot]) for slot in SLOTS if slot != "network"},
        **({"learner": learner} if learner else {}),
        **({"evidence": block["evidence"]} if "evidence" in block else {}),
    }
    own = seed_list(f"{where}.{scale}.seeds", block["seeds"]) if "seeds" in block else problem.seeds
    stage = f"pipelines/{under}/dvc.yaml:{SECTIONS[section]}@{key}"
    return Experiment(f"{under}-{key}", under, stage, block["track"], own, declaration, *methods[key])


def _at_scale(where: str, block: Mapping[str, Any], scale: str) -> dict[str, Any]:
    """The line with what it says of this scale alone put over what it says of all."""
    for each in SCALES:
        own = dict(fields(f"{where}.{each}", block.get(each, {}), set(), {*SLOTS, "settings", "learner", "seeds"}))
        seed_list(f"{where}.{each}.seeds", own.pop("seeds", [0]))
        for part, values in own.items():
            if "name" in mapping(f"{where}.{each}.{part}", values) and part in SLOTS:
                # dvc.yaml follows the source files of the name that stands in the line itself
                raise ValueError(f"`{where}.{each}.{part}` must not name another one, found {values['name']!r}.")
    merged = {key: value for key, value in block.items() if key not in SCALES}
    own = dict(block.get(scale, {}))
    if "seeds" in own:
        merged["seeds"] = own.pop("seeds")
    for part, values in own.items():
        merged[part] = {**mapping(f"{where}.{part}", merged.get(part, {})), **values}
    return merged


def _check_parts(experiment: Experiment, problem: Problem, scale: str) -> None:
    """Builds what the line declares, without data, and holds a controlled line to its problem's terms."""
    section = "sequels" if "evidence" in experiment.declaration else "experiments"
    try:
        validate(experiment.declaration)
        if experiment.track == "controlled":
            check_line(experiment.declaration, problem.settings)
    except (ValueError, TypeError) as error:
        key = experiment.name.removeprefix(f"{experiment.problem}-")
        raise ValueError(f"{section}.{experiment.problem}.{key} at scale {scale}: {error}") from None
