"""Frozen dataclasses as JSON and back: what `evaluate` writes is what the report reads, field by field."""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from gradsurgery.evidence.statistics import significant

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Plain values; numbers to six significant digits, so that the same evidence gives the same file everywhere."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): encode(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [encode(entry) for entry in value]
    return significant(value) if isinstance(value, float) else value


def decode(kind: type[T], value: Any) -> T:
    """What `encode` made of a `kind`. Raises KeyError or TypeError for anything else."""
    found: T = _decode(kind, value)
    return found


def _decode(kind: Any, value: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _decode(next(each for each in inner if each is not type(None)), value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        fields = {field.name: _decode(hints[field.name], value[field.name]) for field in dataclasses.fields(kind)}
        return kind(**fields)
    if origin is tuple and len(inner) > 1 and inner[1] is not Ellipsis:
        return tuple(_decode(each, entry) for each, entry in zip(inner, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {name: _decode(inner[1], entry) for name, entry in value.items()}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [_decode(inner[0], entry) for entry in value]
    return float(value) if kind is float else value
