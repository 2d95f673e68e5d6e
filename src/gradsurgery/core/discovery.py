"""Methods, problems and networks are found by file name: `build("aggregators", "pcgrad", order="fixed")`.

There is no registry to edit. A file `<kind>/<name>.py` holds exactly one public dataclass or network, and its name in
`params.yaml` is the file's name. Unknown names, unknown fields and fields of the wrong type are refused with one line.
"""

import dataclasses
import difflib
import functools
import importlib
import inspect
import math
import pkgutil
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

KINDS = ("aggregators", "balancers", "transforms", "rules", "networks", "problems")


def available(kind: str) -> list[str]:
    """Names of everything of one kind, sorted. Raises ValueError for an unknown kind."""
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, found {kind!r}.")
    return list(_names(kind))


@functools.cache
def _names(kind: str) -> tuple[str, ...]:
    package = importlib.import_module(f"gradsurgery.{kind}")
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")))


def nearest(name: object, known: Iterable[str]) -> list[str]:
    """Up to three of the known names that look like `name`, the nearest first; else those that hold it as a part."""
    lower = {each.lower(): each for each in known}
    sought = str(name).lower()[:100]  # what is longer is no slip of a finger, and comparing it takes long
    near = difflib.get_close_matches(sought, lower, n=3, cutoff=0.6)
    return [lower[each] for each in near or [each for each in lower if sought and sought in each][:3]]


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: which ones may be meant, if any."""
    near = nearest(name, known)
    return f"; did you mean {' or '.join(near)}?" if near else "."


def find(kind: str, name: str) -> type:
    """The one public class of `<kind>/<name>.py`. Raises ValueError, listing the known names, when there is none."""
    if name not in available(kind):
        known, elsewhere = available(kind), [other for other in KINDS if name in _names(other)]
        end = f", one of the {elsewhere[0]}." if elsewhere else did_you_mean(name, known)
        raise ValueError(f"`{kind}` must name one of {', '.join(known)}, found {name!r}{end}")
    module = importlib.import_module(f"gradsurgery.{kind}.{name}")
    own = [
        c for c in vars(module).values()
        if inspect.isclass(c) and c.__module__ == module.__name__ and not c.__name__.startswith("_")
        and not inspect.isabstract(c)
    ]  # fmt: skip
    if len(own) != 1:
        raise TypeError(f"{module.__name__} must define exactly one public class, found {[c.__name__ for c in own]}.")
    return own[0]


def build(kind: str, name: str, /, **fields: Any) -> Any:
    """Constructs `<kind>/<name>.py`'s class from plain values.

    Raises:
        ValueError: unknown kind, name or field, a missing field, a value of the wrong type or out of its range.
    """
    return make(find(kind, name), name, fields)


def preparation(problem: str) -> type:
    """The dataclass `_Preparation` of `problems/<problem>.py`: what its `prepare` reads of params.yaml."""
    find("problems", problem)
    found: type | None = vars(importlib.import_module(f"gradsurgery.problems.{problem}")).get("_Preparation")
    if found is None:
        raise ValueError(f"`problems/{problem}.py` must define `_Preparation`, what `prepare` reads, found none.")
    return found


def make(cls: type, name: str, fields: Mapping[str, Any]) -> Any:
    """Calls `cls`, named `name` in errors, on plain values. Raises ValueError as `build` does.

    Where `cls` takes a dataclass, the fields of that one stand beside the others.
    """
    hints, parameters, groups = _signature(cls)
    for field, value in fields.items():
        if field not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(
                f"`{name}.{field}` is no field of {name}; its fields are: {known}{did_you_mean(field, parameters)}"
            )
        require(f"{name}.{field}", value, hints.get(field, Any))
    missing = [p for p, v in parameters.items() if v.default is v.empty and p not in fields]
    if missing:
        raise ValueError(f"`{name}.{missing[0]}` must be given, found nothing.")
    values = {f: plain(v, hints.get(f)) for f, v in fields.items()}
    for group, kind in groups.items():
        values[group] = kind(**{f.name: values.pop(f.name) for f in dataclasses.fields(kind) if f.name in values})
    return cls(**values)


def fields_of(cls: type) -> dict[str, Any]:
    """The type of every field that `make` takes for `cls`."""
    hints, parameters, _ = _signature(cls)
    return {field: hints.get(field, Any) for field in parameters}


def require(where: str, value: Any, kind: Any) -> None:
    """Raises ValueError, naming `where`, for a plain value that is not of this kind (an annotation)."""
    if not _matches(value, kind):
        raise ValueError(f"`{where}` must be {_wanted(value, kind)}, found {value!r}.")


@functools.cache
def _signature(cls: type) -> tuple[Mapping[str, Any], Mapping[str, inspect.Parameter], Mapping[str, Any]]:
    """Types and parameters by field, and the dataclasses that `cls` takes, whose fields are among them."""
    hints = get_type_hints(cls if dataclasses.is_dataclass(cls) else vars(cls)["__init__"])
    parameters = dict(inspect.signature(cls).parameters)
    groups = {field: hints[field] for field in parameters if dataclasses.is_dataclass(hints.get(field))}
    for field, kind in groups.items():
        del parameters[field]
        hints |= get_type_hints(kind)
        parameters |= inspect.signature(kind).parameters
    return hints, parameters, groups


def plain(value: Any, hint: Any) -> Any:
    """A list becomes the tuple a frozen dataclass needs, and YAML's `1` the 1.0 that a number field means."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if isinstance(value, list | tuple):
        inner = next((get_args(kind)[0] for kind in kinds if get_origin(kind) in (tuple, list)), Any)
        return tuple(plain(entry, inner) for entry in value)
    return float(value) if type(value) is int and float in kinds and int not in kinds else value


def _matches(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any or hint is inspect.Parameter.empty:
        return True
    if origin in (Union, types.UnionType):
        return any(_matches(value, a) for a in args)
    if origin is Literal:
        return any(type(value) is type(a) and value == a for a in args)
    if origin in (tuple, list):
        return isinstance(value, list | tuple) and all(_matches(v, args[0]) for v in value if args)
    if hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and not endless(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if (origin or hint) in (dict, Mapping):
        of = args[1] if args else Any
        return isinstance(value, Mapping) and all(isinstance(k, str) and _matches(v, of) for k, v in value.items())
    plain = origin or hint
    return isinstance(value, plain) if inspect.isclass(plain) else True


def endless(value: object) -> bool:
    """Whether this is a number that is NaN, infinite or too large to calculate with."""
    try:
        return isinstance(value, int | float) and not math.isfinite(value)
    except OverflowError:
        return True


def _wanted(value: Any, hint: Any) -> str:
    said = _say(hint)
    parts = value if isinstance(value, list | tuple) else [value]
    return said.replace("a number", "a finite number") if any(map(endless, parts)) else said


def _say(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(repr(a) for a in args)
    if origin in (Union, types.UnionType):
        return " or ".join(_say(a) for a in args)
    if origin in (tuple, list):
        return f"a list of {_say(args[0])}" if args else "a list"
    words: dict[Any, str] = {
        float: "a number", int: "a whole number", bool: "true or false", str: "a text", type(None): "null",
        dict: "a block of named values", Mapping: "a block of named values",
    }  # fmt: skip
    hint = origin if origin in words else hint
    return words.get(hint, getattr(hint, "__name__", str(hint)))
