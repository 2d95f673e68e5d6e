"""`--set lr=3e-4`: a setting of the problem, for every line alike, so that they remain comparable; `--set
aggregator.c=0.2`: a field of the methods that are named and have it."""

import json
import re
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from gradsurgery.core.discovery import did_you_mean, fields_of, find
from gradsurgery.core.options import check_options
from pipelines._blocks import mapping
from pipelines._problems import SLOTS, Problem
from pipelines._table import Experiment

LEARNER = tuple(signature(check_options).parameters)
_ODD = re.compile(r"[^a-z0-9_]+")
PARTS = {slot: kind for slot, kind in SLOTS.items() if slot != "network"}  # of a line; the network is the problem's
NOT_SETTINGS = ("arrays", "network")  # fields of a problem that have a place of their own


def apart(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that are the problem's, and those of parts of lines."""
    own = [text for text in texts if text.partition(".")[0] in PARTS]
    return [text for text in texts if text not in own], own


def change_lines(methods: dict[str, Any], lines: Mapping[str, Experiment], texts: Sequence[str]) -> dict[str, str]:
    """Adds, for every line that has a field which is asked for, one like it with that value.

    Raises ValueError for a field that no line has.

    Returns:
        The key of every line, which says its new values, by what it was.
    """
    keys = {key: key for key in lines}
    for text in texts:
        name, sign, value = text.partition("=")
        slot, _, field = name.partition(".")
        has = {key: fields_of(find(PARTS[slot], line.declaration[slot]["name"])) for key, line in lines.items()}
        if not sign or not any(field in fields for fields in has.values()):
            names = sorted({f"{slot}.{each}" for fields in has.values() for each in fields})
            raise ValueError(
                f"`--set` must be NAME=VALUE of the methods named, whose fields are {', '.join(names) or 'none'}, "
                f"found {text!r:.60}{did_you_mean(name, names)}"
            )
        for key in (key for key, fields in has.items() if field in fields):
            line = {"like": key, **(methods[keys[key]] or {})}
            keys[key] += f"-{field}{_ODD.sub('_', value.lower())}"
            methods[keys[key]] = {**line, slot: {**line.get(slot, {}), field: _value(value)}}
    return keys


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
