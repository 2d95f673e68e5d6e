"""A section as its paper declares it: the claim, and one part a block, in the order of the blocks."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from gradsurgery.core.discovery import require
from gradsurgery.ledger.checks import check_fields
from gradsurgery.ledger.sections import Declared
from gradsurgery.report import blocks
from gradsurgery.report.section import Section
from gradsurgery.report.sources import Sources

KINDS = sorted(module.name for module in pkgutil.iter_modules(blocks.__path__))


def section(key: str, declared: Declared, sources: Sources) -> Section | None:
    """None where no block has anything to show. The first figure of every block stands before all others."""
    made = [_part(key, dict(block), sources) for block in declared.blocks]
    parts = [part for part in made if part is not None]
    if not parts:
        return None
    firsts = [drawing for part in parts for drawing in part.drawings[:1]]
    return Section(
        claim=declared.claim,
        ran=" ".join(filter(None, [*dict.fromkeys(part.ran for part in parts), declared.note])),
        found=" ".join(filter(None, (part.found for part in parts))),
        drawings=[*firsts, *(drawing for part in parts for drawing in part.drawings[1:])],
        sheets=[sheet for part in parts for sheet in part.sheets],
    )


def _part(key: str, block: Mapping[str, Any], sources: Sources) -> Section | None:
    kind = block["kind"]
    if kind not in KINDS:
        raise ValueError(f"`kind` of a block of {key} must be one of {', '.join(KINDS)}, found {kind!r}.")
    part = importlib.import_module(f"{blocks.__name__}.{kind}").part
    settings = {name: value for name, value in block.items() if name != "kind"}
    _check_settings(f"{kind} of {key}", settings, part)
    found: Section | None = part(key, sources, **settings)
    return found


def _check_settings(where: str, settings: Mapping[str, Any], part: Callable[..., Any]) -> None:
    """Refuses a setting that the block does not take, lacks, or takes as another kind of value."""
    hints, taken = get_type_hints(part), list(inspect.signature(part).parameters.values())[2:]
    check_fields(where, settings, {p.name for p in taken if p.default is p.empty}, {p.name for p in taken})
    for name in settings:
        require(f"{name}` of `{where}", settings[name], hints[name])
