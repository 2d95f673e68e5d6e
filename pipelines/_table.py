"""The table, at one scale: a line for every method of every problem, from what problem, method and line say."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from gradsurgery.core.declaration import problem_of, validate
from gradsurgery.core.discovery import available, did_you_mean
from gradsurgery.evidence.contract import TRACK, check_line
from gradsurgery.evidence.history import TRACKS
from gradsurgery.evidence.roles import Role, read_role
from pipelines._blocks import check_name, fields, known, mapping, merged, whole_block
from pipelines._problems import FRESH, SCALES, SLOTS, Problem, read_seeds

_BLOCKS = {*SLOTS, "settings", "learner"}
_SUM = re.compile(r"(\w+) \+ (\d+)")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One line of the table; `declaration` is what `gradsurgery.experiment.build_learner` takes, `source` where its
    method's settings come from, where it says so."""

    name: str
    problem: str
    track: str
    seeds: tuple[int, ...]
    declaration: Mapping[str, Any]
    family: str
    role: Role
    source: str = ""

    @property
    def method(self) -> str:
        """The line's name without its problem."""
        return self.name.removeprefix(f"{self.problem}-")


def read_table(
    problems: Mapping[str, Problem], methods: Mapping[str, Any], scale: str, first: int = FRESH
) -> dict[str, Experiment]:
    """Every line by its full name; `first` as for `read_problems`. Raises ValueError for the first that is none."""
    found: dict[str, Experiment] = {}
    for name, problem in problems.items():
        for key, own in problem.lines.items():
            where = f"problems.{name}.methods.{key}"
            says = {} if own is None else mapping(where, own)
            check_methods(f"problems.{name}.methods", {key: own}, methods)
            line = _line(where, name, key, problem, read_method(where, {"like": key, **says}, methods), scale, first)
            if line.name in found:  # problem `a-b`, method `c` and problem `a`, method `b-c`
                raise ValueError(f"`{where}` must have a full name of its own, found {line.name} twice.")
            found[line.name] = line
    for line in found.values():
        _check_names(line, found)
    return found


def check_methods(where: str, lines: Mapping[str, Any], methods: Mapping[str, Any]) -> None:
    """Every line of a problem is named after a method or `like` one, also where no scale runs it. Raises ValueError."""
    for key, own in lines.items():
        if not (isinstance(own, Mapping) and "like" in own):
            known(where, key, methods)


def read_method(where: str, block: Any, methods: Mapping[str, Any]) -> dict[str, Any]:
    """A method, or a line of one, as it is written, with what it is `like`. Raises ValueError."""
    whole = fields(
        where,
        whole_block(where, block, "methods", methods),
        {"family", "role"},
        {*_BLOCKS, *SCALES, "track", "evidence", "source"},
    )
    if not isinstance(whole.get("source", ""), str):
        raise ValueError(f"`{where}.source` must be a text, found {whole['source']!r:.60}.")
    check_name(f"{where}.family", whole["family"])
    role = {"kind": whole["role"]} if isinstance(whole["role"], str) else whole["role"]
    known(f"{where}.track", whole.get("track", TRACK), TRACKS)
    for scale in SCALES:
        at = fields(f"{where}.{scale}", whole.get(scale, {}), set(), {*_BLOCKS, "seeds"})
        read_seeds(f"{where}.{scale}.seeds", at.get("seeds", [0]), FRESH, scale)
        for part in sorted(_BLOCKS & {*whole, *at}):
            mapping(f"{where}.{part}", whole.get(part, {}))
            mapping(f"{where}.{scale}.{part}", at.get(part, {}))
    return {**whole, "role": read_role(f"{where}.role", role)}


def _line(
    where: str, under: str, key: str, problem: Problem, method: Mapping[str, Any], scale: str, first: int
) -> Experiment:
    own = merged({entry: value for entry, value in method.items() if entry not in SCALES}, method.get(scale, {}))
    parts = merged(problem.parts, {slot: own[slot] for slot in SLOTS if slot in own})
    if "hold_out" in own.get("settings", {}):  # what is trained on chooses no epoch, of any line of the problem
        raise ValueError(f"`{where}.settings.hold_out` must be the problem's to say, found it at a line.")
    for slot, kind in SLOTS.items():
        if "name" not in parts[slot]:
            raise ValueError(f"`{where}.{slot}` must hold a `name`, found {parts[slot]!r}.")
        known(f"{where}.{slot}.name", parts[slot]["name"], available(kind))
    learner = {**problem.learner, **own.get("learner", {})}
    declaration = {
        "problem": under,
        "module": problem.module,
        "settings": {**_settings(where, problem.settings, own.get("settings", {})), "network": parts.pop("network")},
        **parts,
        **({"learner": learner} if learner else {}),
        **({"evidence": f"{under}-{own['evidence']}"} if "evidence" in own else {}),
    }
    seeds = read_seeds(where, own["seeds"], first, scale) if "seeds" in own else problem.seeds
    track = own.get("track", problem.track)
    return Experiment(
        f"{under}-{key}", under, track, seeds, declaration, own["family"], own["role"], own.get("source", "")
    )


def _settings(where: str, problem: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A problem's settings and over them a line's, of which one may be `exits + 1`: a whole number of the problem's
    and so many more, so that it follows where a scale has another."""
    settings = {**problem, **own}
    for name, value in own.items():
        if isinstance(value, str) and (sum_ := _SUM.fullmatch(value)):
            other = known(f"{where}.settings.{name}", sum_[1], [n for n, v in problem.items() if type(v) is int])
            settings[name] = problem[other] + int(sum_[2])
    return settings


def _check_names(line: Experiment, lines: Mapping[str, Experiment]) -> None:
    """What a role or `evidence` names must be another line of the same problem; evidence, one that scores layers."""
    names = {f"role.{field}": name for field, name in line.role.record().items() if field != "kind"}
    if "evidence" in line.declaration:
        names["evidence"] = line.declaration["evidence"].removeprefix(f"{line.problem}-")
    for field, name in names.items():
        others = [
            other.method for other in lines.values()
            if other.problem == line.problem and other is not line and (field != "evidence" or _scores(other))
        ]  # fmt: skip
        if name not in others:
            what = f"another line of {line.problem}{' that scores layers' if field == 'evidence' else ''}"
            raise ValueError(
                f"`methods.{line.method}.{field}` must name {what}, found {name!r}{did_you_mean(name, others)}"
            )


def _scores(line: Experiment) -> bool:
    return "evidence" not in line.declaration and bool(line.declaration.get("learner", {}).get("score_layers"))


def _check_milestones(settings: Mapping[str, Any]) -> None:
    if late := [each for each in settings.get("milestones", []) if each > settings["epochs"]]:
        raise ValueError(f"`milestones` must lie within the {settings['epochs']} epochs, found {late[0]}.")


def check_whole(lines: Mapping[str, Experiment], problems: Mapping[str, Problem], scale: str) -> dict[str, set[str]]:
    """Builds what every line declares, without data, and holds controlled ones to their problem's terms.

    Returns:
        The metrics of every line and of every problem, by name.
    """
    metrics: dict[str, set[str]] = {name: set() for name in problems}
    for line in lines.values():
        try:
            validate(line.declaration)
            _check_milestones(line.declaration["settings"])
            if line.track == TRACK:
                check_line(line.declaration, problems[line.problem].settings)
        except (ValueError, TypeError) as error:
            raise ValueError(f"problems.{line.problem}.methods.{line.method} at scale {scale}: {error}") from None
        metrics[line.name] = set(problem_of(line.declaration).metrics)
        metrics[line.problem] |= metrics[line.name]
    return metrics
