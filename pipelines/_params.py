"""params.yaml, read whole and checked whole before any stage does anything.

A wrong line anywhere ends every stage with one sentence on stderr and exit code 2, so that a typing error in the last
experiment is found in the first seconds and not after an hour. Values are handed on as plain, typed sections.

Building every line's parts takes seconds. A process whose driver has done so for this very file leaves that out: the
driver says so in the environment.
"""

import dataclasses
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gradsurgery.core.discovery import available
from gradsurgery.experiment import validate
from gradsurgery.reporting.contract import check_line
from gradsurgery.reporting.selection import RULES
from pipelines._blocks import fields, mapping
from pipelines._device import Compute, read_compute, with_precision
from pipelines._studies import Studies, read_studies

SCALES = ("smoke", "laptop", "paper")
TRACKS = ("controlled", "as-published", "reference")
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
        if name not in self.experiments:
            problem = name.split("-")[0]
            near = [e for e in self.experiments if e.startswith(problem)] or sorted(self.problems)
            raise ValueError(
                f"`experiments` must hold the experiment asked for, found no {name!r} among {', '.join(near)}."
            )
        return self.experiments[name]


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
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} must be valid YAML, found: {' '.join(str(error).split())}.") from None
    top = fields(
        str(path),
        document,
        {"scale", "datasets", "problems", "experiments", "protocols", "regression"},
        {"compute", "rows", "sequels", "studies"},
    )
    if top["scale"] not in SCALES:
        raise ValueError(f"`scale` must be one of {', '.join(SCALES)}, found {top['scale']!r}.")
    compute = read_compute(top.get("compute", {}))
    datasets = mapping("datasets", top["datasets"])
    problems = {n: _problem(n, b, top["scale"], datasets) for n, b in mapping("problems", top["problems"]).items()}
    experiments = _table("experiments", "train", top["experiments"], problems, top["scale"])
    sequels = _table("sequels", "sequel", top.get("sequels") or {}, problems, top["scale"])
    experiments, sequels = with_precision(experiments, compute), with_precision(sequels, compute)
    for experiment in () if trusted else (experiments | sequels).values():
        _check_parts(experiment, problems[experiment.problem])
    if repeated := sorted(set(experiments) & set(sequels)):
        raise ValueError(f"`sequels` must have names of their own, found {repeated[0]} in `experiments` too.")
    _check_evidence(experiments, sequels)
    _check_judging(top["protocols"], top["regression"], problems)
    studies = read_studies(top.get("studies") or {}, top["scale"], experiments, top["protocols"])
    lines = experiments | sequels
    return Params(top["scale"], datasets, problems, lines, top["protocols"], top["regression"], studies, compute)


def _problem(name: str, block: Any, scale: str, datasets: Mapping[str, Any]) -> Problem:
    where = f"problems.{name}"
    block = fields(where, block, {"module", "inputs", "prepare", "sha256", *SCALES})
    if block["module"] not in available("problems"):
        known = ", ".join(available("problems"))
        raise ValueError(f"`{where}.module` must name one of {known}, found {block['module']!r}.")
    prepare = mapping(f"{where}.prepare", block["prepare"])
    sources = {side: prepare[side] for side in ("left", "right") if side in prepare}
    for side, dataset in sources.items():
        if dataset not in datasets:
            raise ValueError(
                f"`{where}.prepare.{side}` must name one of datasets {', '.join(datasets)}, found {dataset!r}."
            )
    # dvc.yaml reads `inputs`, prepare.py reads `prepare`: were they to differ, a changed data set would go unnoticed
    module = f"src/gradsurgery/problems/{block['module']}.py"
    read = {"right": sources.get("left"), **sources}  # one data set stands on both sides
    wanted = {side: f"data/raw/{read[side]}" if read.get(side) else module for side in ("left", "right")}
    if block["inputs"] != wanted:
        raise ValueError(f"`{where}.inputs` must agree with `prepare` and be {wanted}, found {block['inputs']!r}.")
    seeds: list[int] = []
    learner: Mapping[str, Any] = {}
    settings: dict[str, Any] = {}
    for each in SCALES:
        values = dict(mapping(f"{where}.{each}", block[each]))
        found = _seeds(f"{where}.{each}", values.pop("seeds", None))
        options = mapping(f"{where}.{each}.learner", values.pop("learner", {}))
        if each == scale:
            seeds, learner, settings = found, options, values
    pinned = mapping(f"{where}.sha256", block["sha256"])
    return Problem(block["module"], prepare, pinned, tuple(seeds), learner, settings)


def _seeds(where: str, found: Any) -> list[int]:
    if not isinstance(found, list) or not found or not all(type(s) is int and s >= 0 for s in found):
        raise ValueError(f"`{where}.seeds` must be a list of whole numbers from 0 on, found {found!r}.")
    return sorted(set(found))


def _table(section: str, stage: str, table: Any, problems: Mapping[str, Problem], scale: str) -> dict[str, Experiment]:
    """The lines of `experiments` or `sequels`, which are grouped by problem, under their full names."""
    found = {}
    for problem, lines in mapping(section, table).items():
        if problem not in problems:
            raise ValueError(f"`{section}` must group lines by problem ({', '.join(problems)}), found {problem!r}.")
        for key, block in mapping(f"{section}.{problem}", lines).items():
            at = f"pipelines/{problem}/dvc.yaml:{stage}@{key}"
            found[f"{problem}-{key}"] = _experiment(
                f"{section}.{problem}.{key}", f"{problem}-{key}", at, block, problems, scale
            )
    return found


def _check_evidence(experiments: Mapping[str, Experiment], sequels: Mapping[str, Experiment]) -> None:
    """A sequel names an experiment that leaves layer scores; an experiment names none, or DVC would not know of it."""
    for name, sequel in sequels.items():
        where = f"sequels.{sequel.problem}.{name.removeprefix(f'{sequel.problem}-')}.evidence"
        source = experiments.get(str(sequel.declaration.get("evidence")))
        if source is None:
            raise ValueError(f"`{where}` must name an experiment, found {sequel.declaration.get('evidence')!r}.")
        if not source.declaration.get("learner", {}).get("score_layers"):
            raise ValueError(f"`{where}` must name one with `learner.score_layers`, found {source.name}.")
    for experiment in experiments.values():
        if "evidence" in experiment.declaration:
            raise ValueError(f"`evidence` belongs to a line of `sequels`, found it in experiment {experiment.name}.")


def _experiment(
    where: str, name: str, stage: str, block: Any, problems: Mapping[str, Problem], scale: str
) -> Experiment:
    block = fields(where, block, {"problem", "module", "track", *SLOTS}, {"settings", "learner", "evidence", *SCALES})
    block = _at_scale(where, block, scale)
    if not name.startswith(f"{block['problem']}-"):
        raise ValueError(f"`{where}.problem` must be the problem it stands under, found {block['problem']!r}.")
    problem = problems[block["problem"]]
    if block["module"] != problem.module:
        raise ValueError(f"`{where}.module` must be its problem's {problem.module!r}, found {block['module']!r}.")
    if block["track"] not in TRACKS:
        raise ValueError(f"`{where}.track` must be one of {', '.join(TRACKS)}, found {block['track']!r}.")
    for slot in SLOTS:
        if "name" not in mapping(f"{where}.{slot}", block[slot]):
            raise ValueError(f"`{where}.{slot}` must hold a `name`, found {block[slot]!r}.")
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
    seeds = tuple(_seeds(where, block["seeds"])) if "seeds" in block else problem.seeds
    return Experiment(name, block["problem"], stage, block["track"], seeds, declaration)


def _at_scale(where: str, block: Mapping[str, Any], scale: str) -> dict[str, Any]:
    """The line with what it says of this scale alone put over what it says of all."""
    for each in SCALES:
        own = dict(fields(f"{where}.{each}", block.get(each, {}), set(), {*SLOTS, "settings", "learner", "seeds"}))
        _seeds(f"{where}.{each}", own.pop("seeds", [0]))
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


def _check_parts(experiment: Experiment, problem: Problem) -> None:
    """Builds what the line declares, without data, and holds a controlled line to its problem's terms."""
    section = "sequels" if ":sequel@" in experiment.stage else "experiments"
    try:
        validate(experiment.declaration)
        if experiment.track == "controlled":
            check_line(experiment.declaration, problem.settings)
    except (ValueError, TypeError) as error:
        key = experiment.name.removeprefix(f"{experiment.problem}-")
        raise ValueError(f"{section}.{experiment.problem}.{key}: {error}") from None


def _check_judging(protocols: Any, regression: Any, problems: Mapping[str, Problem]) -> None:
    for problem, block in mapping("protocols", protocols).items():
        if problem not in problems:
            raise ValueError(f"`protocols` must name problems among {', '.join(problems)}, found {problem!r}.")
        selection = fields(f"protocols.{problem}", block, {"selection"})["selection"]
        if selection not in RULES:
            known = ", ".join(RULES)
            raise ValueError(f"`protocols.{problem}.selection` must be one of {known}, found {selection!r}.")
    blocks = fields("regression", regression, {"bands", "exceptions"})
    bands = dict(mapping("regression.bands", blocks["bands"]))
    for owner, metrics in mapping("regression.exceptions", blocks["exceptions"]).items():
        for metric, entry in mapping(f"regression.exceptions.{owner}", metrics).items():
            bands[f"{owner}.{metric}"] = fields(f"regression.exceptions.{owner}.{metric}", entry, {"band", "reason"})[
                "band"
            ]
    for metric, band in bands.items():
        if isinstance(band, bool) or not isinstance(band, int | float) or band < 0:
            raise ValueError(f"`regression` band of {metric} must be a non-negative number, found {band!r}.")
