"""The block `studies` of params.yaml: what `make study` tries, over which methods, how often and on which seeds."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gradsurgery.core.declaration import problem_of
from gradsurgery.core.discovery import require
from gradsurgery.evidence.contract import TRACK
from gradsurgery.evidence.selection import FAIR
from gradsurgery.front_weights import front_weights
from pipelines._blocks import fields, known, mapping, seed_list, whole
from pipelines._problems import FRESH, Problem, check_spent
from pipelines._table import Experiment

MOST_POINTS = 10_000  # of a front: a larger number is a slip, and would take for ever to draw
STATIC = "static"  # the method whose task weights are the line's own parameters


@dataclasses.dataclass(frozen=True)
class Search:
    """Random search on one problem.

    Attributes:
        lines: the declaration that every method starts from, by method; `static` is a line with equal weights.
        trials: as many for every method.
        seed: the one that all trials are trained on.
        seeds: those that every method's winner is judged on.
        rule: the selection rule of the problem, which picks the winner too.
    """

    lines: Mapping[str, Experiment]
    num_tasks: int
    trials: int
    seed: int
    seeds: tuple[int, ...]
    rule: str


@dataclasses.dataclass(frozen=True)
class StaticFront:
    """One line trained under several static weights, by the name that the front gives to each."""

    line: Experiment
    weights: Mapping[str, tuple[float, ...]]
    seeds: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Studies:
    """All studies of the scale in force, by problem."""

    searches: Mapping[str, Search]
    fronts: Mapping[str, StaticFront]

    @property
    def problems(self) -> list[str]:
        return list(dict.fromkeys([*self.searches, *self.fronts]))


def read_studies(
    block: Any, scale: str, lines: Mapping[str, Experiment], problems: Mapping[str, Problem], first: int = FRESH
) -> Studies:
    """Raises ValueError, with one sentence, for the first thing that is missing, unknown or unfair, as is a seed from
    `first` on, which is confirmatory."""
    block = fields("studies", block, set(), {"search", "fronts", "smoke"})
    found: dict[str, dict[str, Any]] = {"search": {}, "fronts": {}}
    for kind, read in (("search", _search), ("fronts", _front)):
        for name, own in mapping(f"studies.{kind}", block.get(kind, {})).items():
            known(f"studies.{kind}", name, problems)
            here = {line.method: line for line in lines.values() if line.problem == name}
            found[kind][name] = read(f"studies.{kind}.{name}", own, here, problems[name].selection)
            check_spent(f"studies.{kind}.{name}.seeds", [*found[kind][name].seeds, own.get("seed", 0)], first)
    studies = Studies(found["search"], found["fronts"])
    if "smoke" not in block:
        return studies
    small = fields("studies.smoke", block["smoke"], {"problems", "trials", "points"})
    require("studies.smoke.problems", small["problems"], list[str])
    for name in small["problems"]:
        known("studies.smoke.problems", name, studies.problems)
    trials, points = (whole(f"studies.smoke.{name}", small[name], 1) for name in ("trials", "points"))
    return _cut(studies, small["problems"], trials, points) if scale == "smoke" else studies


def _cut(whole: Studies, problems: list[str], trials: int, points: int) -> Studies:
    searches = {p: dataclasses.replace(s, trials=trials) for p, s in whole.searches.items() if p in problems}
    fronts = {
        p: dataclasses.replace(f, weights=dict(list(f.weights.items())[:points]))
        for p, f in whole.fronts.items() if p in problems
    }  # fmt: skip
    return Studies(searches, fronts)


def _search(where: str, block: Any, lines: Mapping[str, Experiment], rule: str) -> Search:
    block = fields(where, block, {"methods", "static", "trials", "seed", "seeds"})
    if rule not in FAIR:
        problem = where.rsplit(".", 1)[1]
        raise ValueError(
            f"`problems.{problem}.selection` must be one of {', '.join(FAIR)} for a search, found {rule!r}."
        )
    methods = block["methods"]
    require(f"{where}.methods", methods, list[str])
    if not methods or len(set(methods)) < len(methods):
        raise ValueError(f"`{where}.methods` must be a list of different lines, found {methods!r}.")
    found = {method: _trainable(f"{where}.methods", method, lines) for method in methods}
    if STATIC in found:
        raise ValueError(f"`{where}.methods` must leave `{STATIC}` to `{where}.static`, found it among them.")
    plain = _plain(f"{where}.static", block["static"], lines)
    count = tasks_of(plain)
    found[STATIC] = weighted(plain, STATIC, [1.0 / count] * count)
    for method, line in found.items():
        if "lr" not in line.declaration["settings"]:
            raise ValueError(f"`{where}.methods` must be lines with a learning rate, found none in {method}.")
    seed, seeds = whole(f"{where}.seed", block["seed"], 0), seed_list(f"{where}.seeds", block["seeds"])
    if seed in seeds:
        raise ValueError(f"`{where}.seeds` must be fresh, found the search's own seed {seed} among them.")
    return Search(found, count, whole(f"{where}.trials", block["trials"], 1), seed, seeds, rule)


def _front(where: str, block: Any, lines: Mapping[str, Experiment], _rule: str) -> StaticFront:
    block = fields(where, block, {"line", "seeds"}, {"shares", "points", "seed"})
    line = _plain(f"{where}.line", block["line"], lines)
    count = tasks_of(line)
    wanted = "shares" if count == 2 else "points"
    if ("shares" in block, "points" in block) != (count == 2, count > 2):
        raise ValueError(f"`{where}` must hold `{wanted}` and not the other for {count} tasks, found {sorted(block)}.")
    if count > 2:
        points = whole(f"{where}.points", block["points"], 2, MOST_POINTS)
        drawn = front_weights(points, count, whole(f"{where}.seed", block.get("seed", 0), 0))
        weights = {f"{STATIC}-point{i:02d}": tuple(row.tolist()) for i, row in enumerate(drawn)}
    else:
        shares = block["shares"]
        if not isinstance(shares, list) or not all(isinstance(s, float) and 0.0 < s < 1.0 for s in shares):
            raise ValueError(f"`{where}.shares` must be a list of numbers between 0 and 1, found {shares!r}.")
        weights = {f"{STATIC}-{round(100 * s):02d}": (s, round(1.0 - s, 6)) for s in shares}
        if len(weights) < len(shares) or not shares:
            raise ValueError(f"`{where}.shares` must be different whole per cents, found {shares!r}.")
    return StaticFront(line, weights, seed_list(f"{where}.seeds", block["seeds"]))


def weighted(line: Experiment, method: str, weights: list[float]) -> Experiment:
    """`line` under another name, with static weights."""
    declaration = {**line.declaration, "balancer": {"name": STATIC, "weights": weights}}
    return dataclasses.replace(line, name=f"{line.problem}-{method}", declaration=declaration)


def tasks_of(line: Experiment) -> int:
    """K of a line's problem, without its data."""
    return len(problem_of(line.declaration).tasks)


def _trainable(where: str, method: Any, lines: Mapping[str, Experiment]) -> Experiment:
    """A controlled line that trains every task and starts from no other line."""
    line = lines[known(where, method, lines)]
    if line.track != TRACK:
        raise ValueError(f"`{where}` must name lines of track {TRACK}, found {method!r} of track {line.track}.")
    if line.declaration["balancer"]["name"] == "single_task" or "evidence" in line.declaration:
        raise ValueError(f"`{where}` must name lines that train every task and need no evidence, found {method!r}.")
    return line


def _plain(where: str, method: Any, lines: Mapping[str, Experiment]) -> Experiment:
    line = _trainable(where, method, lines)
    parts = (line.declaration["balancer"]["name"], line.declaration["aggregator"]["name"])
    if parts[0] != "equal" or parts[1] not in ("sum", "mean"):
        raise ValueError(f"`{where}` must name a line with balancer equal and a sum or mean, found {method!r}.")
    return line
