"""`--set lr=3e-4`: a setting of the problem, for every line alike, so that they remain comparable."""

import json
from collections.abc import Sequence
from inspect import signature
from typing import Any

from gradsurgery.core.discovery import did_you_mean, fields_of, find
from gradsurgery.core.options import check_options
from pipelines._blocks import mapping
from pipelines._problems import Problem

LEARNER = tuple(signature(check_options).parameters)
NOT_SETTINGS = ("arrays", "network")  # fields of a problem that have a place of their own


def change(block: dict[str, Any], scale: str, settings: Sequence[str], problem: Problem) -> None:
    """Writes what was asked into the problem's block at a scale. Raises ValueError for what is no setting of it."""
    known = [name for name in fields_of(find("problems", problem.module)) if name not in NOT_SETTINGS]
    network = fields_of(find("networks", problem.parts["network"]["name"]))
    names = [*known, *(f"network.{name}" for name in network), *(f"learner.{name}" for name in LEARNER)]
    at = dict(mapping(scale, block.get(scale) or {}))
    for text in settings:
        name, sign, value = text.partition("=")
        if not sign or name not in names:
            raise ValueError(
                f"`--set` must be NAME=VALUE of {', '.join(known)}, network.* or learner.*, "
                f"found {text!r:.60}{did_you_mean(name, names)}"
            )
        part, _, field = name.rpartition(".")
        if part:
            at[part] = {**at.get(part, {}), field: _value(value)}
        else:
            at[field] = _value(value)
    block[scale] = at


def _value(text: str) -> Any:
    """A number, true, false, null or a list as JSON has them, else a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
