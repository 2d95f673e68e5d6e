"""Blocks of params.yaml: named values, with the fields that they must and may have. A wrong one gives one sentence."""

from collections.abc import Mapping
from typing import Any


def mapping(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"`{where}` must be a block of named values, found {value!r}.")
    return value


def fields(where: str, value: Any, required: set[str], optional: frozenset[str] | set[str] = frozenset()) -> Any:
    value = mapping(where, value)
    if missing := sorted(required - set(value)):
        raise ValueError(f"`{where}` must hold `{missing[0]}`, found only {', '.join(value)}.")
    if unknown := sorted(set(value) - required - set(optional)):
        known = ", ".join(sorted(required | set(optional)))
        raise ValueError(f"`{where}.{unknown[0]}` is no field of it; its fields are: {known}.")
    return value
