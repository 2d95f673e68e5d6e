"""From the names that somebody typed to lines of one problem's table, which are added where the table has them not."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.cli._methods import is_foreign
from gradsurgery.core.discovery import available, did_you_mean
from pipelines import _params
from pipelines._blocks import known, whole_block
from pipelines._params import SCALES, Experiment, Params
from pipelines._problems import CHOSEN
from pipelines._protocol import NAME as PROTOCOL
from pipelines._protocol import first_seed
from pipelines._table import check_whole
from pipelines._yaml import read_yaml
from pipelines.commands import _imported
from pipelines.commands._settings import apart, change, change_lines

OWN = "own"  # the family of lines that no table has
LINE = re.compile(r"[^a-z0-9_]+")


class Table:
    """One problem of a checkout at one scale: its lines, and those that are made of names.

    Attributes:
        params: with all lines of the problem.
    """

    def __init__(self, root: Path, problem: str, scale: str | None, settings: Sequence[str], seeds: str | None) -> None:
        _imported.bring()
        document, pins = read_yaml(root / "params.yaml"), read_yaml(root / "data/pins.yaml")
        self.first = first_seed(read_yaml(root / PROTOCOL)) if (root / PROTOCOL).is_file() else _params.FRESH
        known("--problem", problem, document["problems"])
        self.scale = known("--scale", scale or document["scale"], SCALES)
        block = whole_block(f"problems.{problem}", document["problems"][problem], "problems", document["problems"])
        run = [name for name in SCALES if block.get(name, None if name == CHOSEN else {}) is not None]
        if self.scale not in run:
            said = self.scale if scale else f"{self.scale}, which params.yaml says"
            raise ValueError(f"`--scale` must be one at which {problem} is run ({', '.join(run)}), found {said}.")
        own: dict[str, Any] = {"datasets": pins.get("datasets", {}), "problems": {}}
        if problem in pins.get("problems", {}):
            own["problems"] = {problem: pins["problems"][problem]}
        self._pins = own
        self._document = {name: document[name] for name in ("datasets", "methods", "regression")} | {
            "compute": document.get("compute", {}), "scale": self.scale, "problems": {problem: block},
        }  # fmt: skip
        self.problem, self._block = problem, block
        at = self._read()
        planned = (block.get(CHOSEN) or {"methods": ()}).get("methods", block["methods"])  # most there
        here = {*(line.method for line in at.experiments.values()), *planned}
        asked = seeds_of(seeds, at.problems[problem].seeds)
        of_problem, self._of_lines = apart(settings)
        change(block, self.scale, of_problem, at.problems[problem])
        if asked is not None:
            block[self.scale] = {**(block.get(self.scale) or {}), "seeds": asked}
        self._asked = asked
        (block.get(self.scale) or {}).pop("methods", None)
        self.params = self._read()
        self._here = {name: line for name, line in self.params.experiments.items() if line.method in here}

    def lines(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Full names of the lines that every name stands for. Raises ValueError for the first that is no name."""
        keys = {name: self._keys(name) for name in dict.fromkeys(names)}
        self.params = self._read()
        if self._of_lines:
            chosen = {key: self.params.experiments[f"{self.problem}-{key}"] for own in keys.values() for key in own}
            self._block["methods"] = dict(self._block["methods"])
            new = change_lines(self._block["methods"], chosen, self._of_lines)
            keys = {name: [new[key] for key in own] for name, own in keys.items()}
            self.params = self._read()
        return {name: [f"{self.problem}-{key}" for key in own] for name, own in keys.items()}

    def usual(self, baseline: str = "sum") -> list[str]:
        """What a method is held against where nobody says otherwise: the sum, and what is under study here."""
        return [line.method for line in self._here.values() if line.method == baseline or line.role.kind == "study"]

    def only(self, names: Sequence[str]) -> Params:
        """The table with these lines, and with those that they take their layer scores from."""
        every = self.params.experiments
        sources = [every[name].declaration.get("evidence") for name in names]
        chosen = {name: every[name] for name in dict.fromkeys([*filter(None, sources), *names])}
        if self._asked is not None:
            seeds = tuple(self._asked)
            chosen = {
                name: dataclasses.replace(line, seeds=seeds) if name in names else line for name, line in chosen.items()
            }
        check_whole(chosen, self.params.problems, self.scale)
        return dataclasses.replace(self.params, experiments=chosen)

    def _keys(self, name: str) -> list[str]:
        methods, lines = self._document["methods"], {line.method: line for line in self._here.values()}
        if is_foreign(name):
            return [self._add(name.partition(":")[2], _imported.aggregator(name))]
        if name in lines:
            return [name]
        if family := [key for key, line in lines.items() if (line.family, line.role.kind) == (name, "study")]:
            return family
        if name in methods:
            self._block["methods"] = {name: None, **self._block["methods"]}
            return [name]
        if name in available("aggregators"):
            return [self._add(name, {"name": name})]
        families = {line.family for line in lines.values() if line.role.kind == "study"}
        names = sorted({*methods, *families, *available("aggregators")})
        raise ValueError(
            f"`METHOD` must be a line of {self.problem}, a method of `gradsurgery list` or module:name, found {name!r}"
            f"{did_you_mean(name, names)}"
        )

    def _add(self, name: str, aggregator: Mapping[str, Any]) -> str:
        """A line that trains as the problem's sum does, but for its aggregator."""
        key = LINE.sub("_", name.lower()).strip("_")[:50] or OWN
        taken = {**self._document["methods"], **dict.fromkeys(line.family for line in self._here.values())}
        while key in taken:
            key += f"-{OWN}"
        line = {"family": OWN, "role": "study", "aggregator": dict(aggregator)}
        self._document["methods"] = {**self._document["methods"], key: line}
        self._block["methods"] = {**self._block["methods"], key: None}
        return key

    def _read(self) -> Params:
        return _params.read(self._document, self._pins, trusted=True, first=self.first)


def seeds_of(text: str | None, usual: Sequence[int]) -> list[int] | None:
    """`0,1` as it is; `5` for the first five that the problem has, and on from its last. Raises ValueError."""
    if text is None:
        return None
    parts = text.strip(",").split(",")
    if not all(part.strip().isdecimal() and len(part.strip()) < 7 for part in parts):
        raise ValueError(f"`--seeds` must be a number of seeds, or seeds with commas as in 0,1, found {text!r:.40}.")
    numbers = [int(part) for part in parts]
    if "," in text:
        return numbers
    if not 1 <= numbers[0] <= 100:
        raise ValueError(f"`--seeds` must be a number of seeds from 1 to 100, found {numbers[0]}.")
    return [*usual, *range(max(usual) + 1, max(usual) + 1 + numbers[0])][: numbers[0]]


def described(line: Experiment) -> str:
    """Its target where it is the user's own."""
    return str(line.declaration["aggregator"].get("target", line.method))
