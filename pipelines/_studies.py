"""The block `studies` of params.yaml: what `make study` tries, over which methods, how often and on which seeds."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gradsurgery.core.declaration import problem_of
from gradsurgery.core.discovery import require
from gradsurgery.evidence.contract import TRACK
from gradsurgery.evidence.selection import FAIR
from pipelines._blocks import fields, known, mapping, seed_list, whole
from pipelines._problems import FRESH, Problem, check_spent
from pipelines._table import Experiment

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


def read_studies(
    block: Any, scale: str, lines: Mapping[str, Experiment], problems: Mapping[str, Problem], first: int = FRESH
) -> dict[str, Search]:
    """The searches of the scale in force, by problem. Raises ValueError, with one sentence, for the first thing that is
    missing, unknown or unfair, as is a seed from `first` on, which is confirmatory."""
    block = fields("studies", block, set(), {"search", "smoke"})
    found = {}
    for name, own in mapping("studies.search", block.get("search", {})).items():
        known("studies.search", name, problems)
        here = {line.method: line for line in lines.values() if line.problem == name}
        found[name] = _search(f"studies.search.{name}", own, here, problems[name].selection)
        check_spent(f"studies.search.{name}.seeds", [*found[name].seeds, own.get("seed", 0)], first)
    if "smoke" not in block:
        return found
    small = fields("studies.smoke", block["smoke"], {"problems", "trials"})
    require("studies.smoke.problems", small["problems"], list[str])
    if not found:
        raise ValueError("`studies.search` must hold what `studies.smoke` takes from it, found nothing there.")
    for name in small["problems"]:
        known("studies.smoke.problems", name, found)
    trials = whole("studies.smoke.trials", small["trials"], 1)
    return {p: dataclasses.replace(found[p], trials=trials) for p in small["problems"]} if scale == "smoke" else found


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
