"""What a declaration (see `gradsurgery.experiment`) names, built, and checked without data and before any work."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradsurgery.core.discovery import build, did_you_mean, plain, require
from gradsurgery.core.interfaces import Balancer, Method, ModelTransform, Network, Problem
from gradsurgery.core.modes import check_mode, refuse
from gradsurgery.core.options import check_options
from gradsurgery.core.run import TrainingRule
from gradsurgery.core.seeding import Generators

_SLOTS = ("transform", "balancer", "rule", "aggregator")
_KEYS = ("problem", "module", "settings", *_SLOTS)
_OPTIONS = {
    "precision": str, "diagnose_every": int, "score_layers": tuple[float, ...], "observe_layers": bool,
    "half_batches": bool, "sync_batchnorm": bool, "gradients": str, "keep_weights": int,
}  # fmt: skip
_RULE = "under a rule that takes its steps itself or on several batches, as `{}` does here"


@dataclass(frozen=True)
class Parts:
    """A problem and what fills its slots; `options` are the learner's."""

    problem: Problem
    transform: ModelTransform
    balancer: Balancer
    rule: TrainingRule
    method: Method
    options: Mapping[str, Any]


def parts_of(declaration: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Parts:
    """What is declared, with the arrays that its problem's `prepare` made. Raises ValueError as `validate` does."""
    return _parts(declaration, arrays, _made)


def validate(declaration: Mapping[str, Any]) -> None:
    """Checks the whole declaration, without data and before any work.

    Raises:
        ValueError: with one line that names the entry, what it must be and what was found.
    """
    _parts(declaration, {}, _known)
    _check_transform(_text(_problem_fields(declaration, {})), _text(declaration["transform"]))


def problem_of(declaration: Mapping[str, Any]) -> Problem:
    """The problem that is declared, without data: its tasks and metrics."""
    problem: Problem = _known("problems", _problem_fields(declaration, {}))
    return problem


def _parts(
    declaration: Mapping[str, Any], arrays: Mapping[str, np.ndarray], part: Callable[[str, Mapping[str, Any]], Any]
) -> Parts:
    _check_entries(declaration)
    problem = part("problems", _problem_fields(declaration, arrays))
    slots: dict[str, Any] = {slot: part(f"{slot}s", declaration[slot]) for slot in _SLOTS}
    slots["balancer"].check(len(problem.tasks))
    slots["rule"].check(len(problem.tasks))
    options = _options(declaration)
    gradients, keep_weights = options.get("gradients", "stored"), options.get("keep_weights", 1)
    check_mode(gradients, keep_weights, slots["aggregator"])
    if not slots["rule"].one_batch:
        refuse(gradients, keep_weights, _RULE.format(declaration["rule"]["name"]))
    return Parts(problem, slots["transform"], slots["balancer"], slots["rule"], slots["aggregator"], options)


def _check_entries(declaration: Mapping[str, Any]) -> None:
    for key in _KEYS:
        if key not in declaration:
            raise ValueError(f"`{key}` must be declared, found only {', '.join(sorted(declaration)) or 'nothing'}.")
    known = (*_KEYS, "learner", "evidence")
    for key, value in declaration.items():
        if key not in known:
            raise ValueError(
                f"`{key}` is no entry of a declaration; its entries are: {', '.join(known)}{did_you_mean(key, known)}"
            )
        if key in (*_SLOTS, "settings", "learner"):
            require(key, value, Mapping)
        if key in _SLOTS and not isinstance(value.get("name"), str):
            raise ValueError(f"`{key}.name` must name one, found {dict(value)!r}.")
    for name in ("name", "arrays"):
        if name in declaration["settings"]:
            raise ValueError(f"`settings.{name}` is no field of a problem, found {declaration['settings'][name]!r}.")


def _problem_fields(declaration: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {"name": declaration["module"], "arrays": arrays, **declaration["settings"]}


def _made(kind: str, fields: Mapping[str, Any]) -> Any:
    return build(kind, fields["name"], **{name: value for name, value in fields.items() if name != "name"})


def _text(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True, default=repr)


def _known(kind: str, fields: Mapping[str, Any]) -> Any:
    return _part(kind, _text(fields))


@functools.lru_cache(maxsize=4096)
def _part(kind: str, text: str) -> Any:
    """A part without data, from the JSON of its fields: the lines of a table share nearly all of them."""
    return _made(kind, json.loads(text))


@functools.lru_cache(maxsize=1024)
def _check_transform(problem: str, transform: str) -> None:
    _part("transforms", transform).check(functools.partial(_drawn, problem))


@functools.lru_cache(maxsize=4)
def _drawn(problem: str) -> Network:
    network: Network = _part("problems", problem).network(Generators(0).init)
    return network


def _options(declaration: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(declaration.get("learner", {}))
    for name, value in declaration.get("learner", {}).items():
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise ValueError(
                f"`learner.{name}` is no field of the learner; its fields are: {known}{did_you_mean(name, _OPTIONS)}"
            )
        require(f"learner.{name}", value, _OPTIONS[name])
        options[name] = plain(value, _OPTIONS[name])
    check_options(**options)
    return options
