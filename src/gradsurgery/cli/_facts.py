"""What the code itself says of a method, rule, transform, balancer or problem: there is no second table of facts."""

import dataclasses
import inspect
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from gradsurgery.core import discovery
from gradsurgery.core.interfaces import Aggregator, Scalarization, Weighting

KINDS = {
    "methods": ("aggregators", "task gradients in, one direction out"),
    "rules": ("rules", "how an epoch is run"),
    "transforms": ("transforms", "rewrites the network before training"),
    "balancers": ("balancers", "task losses in, balanced losses out: loss weighting"),
    "problems": ("problems", "data, tasks, losses and metrics, without their settings"),
}
_METHODS = {
    Scalarization: ("a multiple of the sum of the task gradients", "one backward pass a step for all tasks"),
    Weighting: ("weights for the task gradients by their products", "K backward passes a step, one for each task"),
    Aggregator: ("a direction from the whole Jacobian (K, P)", "K backward passes a step, one for each task"),
}  # fmt: skip
_SECTION = re.compile(r"(Source|Args|Attributes|Departures): ?(.*)")
_FIELD = re.compile(r" {4}(\w+(?:, \w+)*): (.*)")
_REFUSAL = re.compile(r"`(?:\w+\.)?(\w+)` (must (?!be given).*), found ", re.DOTALL)
_PROBES = (-1, 0, 2, 1_000_000, -0.5, 0.5)  # numbers of which a range mostly refuses one


def find(name: str) -> tuple[str, type]:
    """Kind and class of what is called so. Raises ValueError, with the nearest names, where nothing is."""
    for kind in discovery.KINDS:
        if name in discovery.available(kind):
            return kind, discovery.find(kind, name)
    names = [each for kind in discovery.KINDS for each in discovery.available(kind)]
    raise ValueError(
        f"`NAME` must be one that `gradsurgery list` shows, found {name!r}{discovery.did_you_mean(name, names)}"
    )


def is_placebo(kind: str, name: str) -> bool:
    """Whether it only looks like a method, to see what that alone does: its file says so first."""
    return (sys.modules[discovery.find(kind, name).__module__].__doc__ or "").startswith("Placebo:")


def sections(cls: type) -> dict[str, list[str]]:
    """Lines of a class's docstring by section; what belongs to none is under `lead` (a sentence) and `body`."""
    lead, _, rest = inspect.cleandoc(cls.__dict__.get("__doc__") or "").partition("\n\n")
    found: dict[str, list[str]] = {"lead": [" ".join(lead.split())], "body": []}
    section = "body"
    for line in rest.splitlines():
        if heading := _SECTION.fullmatch(line):
            section = heading[1]
            found[section] = [heading[2]] if heading[2] else []
        elif section == "Source" and not line.strip():
            section = "body"
        else:
            found[section].append(line)
    return found


def said_of(cls: type) -> dict[str, str]:
    """What the docstring says of every field."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in sections(cls).get("Args", []):
        if field := _FIELD.fullmatch(line):
            names = field[1].split(", ")
            found |= dict.fromkeys(names, field[2])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def defaults_of(cls: type) -> dict[str, Any]:
    """The default of every field that `build` takes; `inspect.Parameter.empty` for one that must be given."""
    found: dict[str, Any] = {}
    own = discovery.fields_of(cls)
    made = {f.name: f.default_factory for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    for name, parameter in inspect.signature(cls).parameters.items():
        if name not in own:  # a dataclass, whose fields stand beside the others
            found |= defaults_of(get_type_hints(vars(cls)["__init__"])[name])
        elif callable(factory := made.get(name)):
            found[name] = factory()
        else:
            found[name] = parameter.default
    return found


def range_of(cls: type, name: str, field: str) -> str:
    """What a field must be: one of the values of its type, or what it says itself when it refuses a number."""
    hint = discovery.fields_of(cls)[field]
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    fields: Mapping[str, Any] = {n: v for n, v in defaults_of(cls).items() if v is not inspect.Parameter.empty}
    for probe in _PROBES:
        try:
            discovery.require(field, probe, hint)
            discovery.make(cls, name, {**fields, field: probe})
        except (ValueError, TypeError) as error:
            if (said := _REFUSAL.match(str(error))) and said[1] == field:
                return said[2].removeprefix("must be ")
    try:
        discovery.require(field, object(), hint)
    except ValueError as error:
        return str(error).partition(" must be ")[2].partition(", found ")[0]
    return "anything"


def cost_of(kind: str, cls: type) -> str:
    """Backward passes, by the kind of a method; of a rule what its docstring says, else those of its method."""
    if kind == "aggregators":
        return kind_of(kind, cls)[1]
    prose = " ".join(line for line in sections(cls)["body"] if not line.startswith(" "))
    said = [sentence for sentence in re.split(r"(?<=\.) ", prose) if re.search(r"\bcosts?\b.*\bpass(es)?\b", sentence)]
    return " ".join(said) or "that of its method, as far as it says"


def kind_of(kind: str, cls: type) -> tuple[str, str]:
    """In words, and for a method what a step costs."""
    for base, words in _METHODS.items():
        if kind == "aggregators" and issubclass(cls, base):
            return f"method: {words[0]}", words[1]
    whats = {folder: f"{word.removesuffix('s')}: {what}" for word, (folder, what) in KINDS.items()}
    return whats.get(kind, kind.removesuffix("s")), ""
