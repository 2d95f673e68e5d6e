"""What the methods are: the parts of which the lines were put together, in the words of their own files."""

import inspect
from collections.abc import Mapping
from typing import Any

from gradsurgery import presets
from gradsurgery.core.discovery import available, find
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import label
from gradsurgery.report.titles import title

SLOTS = {"aggregator": "aggregators", "balancer": "balancers", "transform": "transforms", "rule": "rules"}


def kinds(sources: Sources) -> list[dict[str, Any]]:
    """By slot, every part that a line uses: what it does, its source, and the problems and methods that use it."""
    return [{"slot": slot, "parts": _parts(sources, slot, kind)} for slot, kind in SLOTS.items()]


def _parts(sources: Sources, slot: str, kind: str) -> list[dict[str, Any]]:
    users: dict[str, tuple[set[str], set[str]]] = {}
    for group in sources.groups.values():
        run = group[0]
        if name := run.declaration.get(slot, {}).get("name"):
            problems, methods = users.setdefault(name, (set(), set()))
            problems.add(run.problem)
            methods.add(f"{label(run.method)}{_preset(kind, run.declaration[slot])}")
    return [
        {
            "name": name, **_words(kind, name), "methods": sorted(users[name][1]), "presets": _sources(kind, name),
            "problems": [(problem, title(problem)) for problem in sorted(users[name][0])],
        }
        for name in sorted(users)
    ]  # fmt: skip


def _preset(kind: str, declared: Mapping[str, Any]) -> str:
    """` (preset data)` where settings are those of one, as of no part that is not there any more."""
    if kind != "aggregators" or declared["name"] not in available(kind):
        return ""
    found = presets.named(declared["name"], {name: value for name, value in declared.items() if name != "name"})
    return f" (preset {', '.join(found)})" if found else ""


def _sources(kind: str, name: str) -> dict[str, str]:
    """Where the values of every preset come from, by name."""
    if kind != "aggregators" or name not in available(kind):
        return {}
    return {preset: presets.of(name, preset).source for preset in presets.available(name)}


def _words(kind: str, name: str) -> dict[str, str]:
    """The first sentence of a part's docstring and the rest; nothing of a part that is not there any more."""
    if name not in available(kind):
        return {"what": "", "text": ""}
    text = inspect.cleandoc(find(kind, name).__doc__ or "")
    first, _, rest = text.partition("\n\n")
    return {"what": " ".join(first.split()), "text": rest}
