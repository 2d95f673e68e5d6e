"""Methods, problems and networks are found by file name: `build("aggregators", "pcgrad", order="fixed")`.

There is no registry to edit. A file `<kind>/<name>.py` holds exactly one public dataclass or network, and its name in
`params.yaml` is the file's name. Unknown names, unknown fields and fields of the wrong type are refused with one line.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

KINDS = ("aggregators", "balancers", "transforms", "rules", "networks", "problems")


def available(kind: str) -> list[str]:
    """Names of everything of one kind, sorted. Raises ValueError for an unknown kind."""
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, found {kind!r}.")
    package = importlib.import_module(f"gradsurgery.{kind}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def find(kind: str, name: str) -> type:
    """The one public class of `<kind>/<name>.py`. Raises ValueError, listing the known names, when there is none."""
    if name not in available(kind):
        raise ValueError(f"`{kind}` must name one of {', '.join(available(kind))}, found {name!r}.")
    module = importlib.import_module(f"gradsurgery.{kind}.{name}")
    own = [
        c for c in vars(module).values()
        if inspect.isclass(c) and c.__module__ == module.__name__ and not c.__name__.startswith("_")
        and not inspect.isabstract(c)
    ]  # fmt: skip
    if len(own) != 1:
        raise TypeError(f"{module.__name__} must define exactly one public class, found {[c.__name__ for c in own]}.")
    return own[0]


def build(kind: str, name: str, **fields: Any) -> Any:
    """Constructs `<kind>/<name>.py`'s class from plain values.

    Raises:
        ValueError: unknown kind, name or field, a missing field, a value of the wrong type or out of its range.
    """
    cls = find(kind, name)
    hints = get_type_hints(cls if dataclasses.is_dataclass(cls) else vars(cls)["__init__"])
    parameters = inspect.signature(cls).parameters
    for field, value in fields.items():
        if field not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(f"`{name}.{field}` is no field of {name}; its fields are: {known}.")
        if field in hints and not _matches(value, hints[field]):
            raise ValueError(f"`{name}.{field}` must be {_say(hints[field])}, found {value!r}.")
    missing = [p for p, v in parameters.items() if v.default is v.empty and p not in fields]
    if missing:
        raise ValueError(f"`{name}.{missing[0]}` must be given, found nothing.")
    return cls(**{f: _plain(v, hints.get(f)) for f, v in fields.items()})


def _plain(value: Any, hint: Any) -> Any:
    """A list becomes the tuple a frozen dataclass needs, and YAML's `1` the 1.0 that a number field means."""
    if isinstance(value, list):
        return tuple(value)
    return float(value) if hint is float else value


def _matches(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any or hint is inspect.Parameter.empty:
        return True
    if origin in (Union, types.UnionType):
        return any(_matches(value, a) for a in args)
    if origin is Literal:
        return value in args and any(type(value) is type(a) for a in args)
    if origin in (tuple, list):
        return isinstance(value, list | tuple) and all(_matches(v, args[0]) for v in value if args)
    if hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    plain = origin or hint
    return isinstance(value, plain) if inspect.isclass(plain) else True


def _say(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(repr(a) for a in args)
    if origin in (Union, types.UnionType):
        return " or ".join(_say(a) for a in args)
    if origin in (tuple, list):
        return f"a list of {_say(args[0])}" if args else "a list"
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "a text", type(None): "null"}
    return words.get(hint, getattr(hint, "__name__", str(hint)))
