"""Refuses what a YAML file holds in the place of a text, a number or a list."""

import functools
import math
from collections.abc import Mapping
from typing import Any, Literal, get_type_hints

from gradsurgery.core.discovery import endless, require
from gradsurgery.ledger.columns import PAIRED


def check_kinds(entry: Any, where: str) -> None:
    """Refuses a field of another kind than its annotation says: a YAML file holds whatever was typed into it.

    Args:
        entry: a dataclass.
        where: what follows the field's name in the sentence, as ` of <id>`.

    Raises:
        ValueError: naming the first such field, and what it must be.
    """
    for name, kind in _hints(type(entry)).items():  # type: ignore[arg-type]
        value = getattr(entry, name)
        try:
            require(name, value, kind)
        except ValueError as error:
            raise ValueError(str(error).replace(f"`{name}`", f"`{name}`{where}", 1)) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"`{name}`{where} must be finite, found {value}.")


_hints = functools.cache(get_type_hints)


def number(value: object, where: str, name: str = "value") -> float:
    """The number that was typed there. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or endless(value):
        raise ValueError(f"`{name}` of {where} must be a finite number, found {value!r:.80}.")
    return float(value)


def check_fields(where: str, found: Mapping[str, Any], required: set[str], optional: set[str]) -> None:
    """Refuses a block without one of its fields, and one with a field that is not known. Raises ValueError."""
    for name in sorted(required - set(found)):
        raise ValueError(f"`{name}` of {where} must be given.")
    for name in sorted(set(found) - required - optional):
        raise ValueError(f"`{name}` of {where} must be a known field.")


_TABLE = {"id", "cell", "data", "network", "seeds", "selection", "metrics", "unanswered", "rows"}
_TABLE_OPTIONAL = {
    "against", "also", "base", "baseline", "delta_m", "delta_m_tolerance", "doubtful", "measures", "origin",
    "spread_kind", "twin",
}  # fmt: skip
_ROW_OPTIONAL = {"also", "delta_m", "doubtful", "experiment", "measures", "spread"}
_KINDS = {"cell": str, "delta_m_tolerance": float, "doubtful": str | None, "spread": list, "unanswered": str}
_DELTA_M = {"over": Literal["metrics", "tasks"], "better": Literal["higher", "lower"]}


def check_table(where: str, entry: Mapping[str, Any]) -> None:
    """Refuses a table that lacks something, holds what is not known or is of another kind, or whose rows do not fit.

    Args:
        where: its paper and its id.
        entry: as the paper's document has it.

    Raises:
        ValueError: naming the field, what it must be and what was found.
    """
    check_fields(where, entry, _TABLE, _TABLE_OPTIONAL)
    _check_values(where, entry)
    for row, cells in entry["rows"].items():
        check_fields(f"{where}/{row}", cells, {"values"}, _ROW_OPTIONAL)
        _check_values(f"{where}/{row}", cells)
        if "spread" in cells and len(cells["spread"]) != len(entry["metrics"]):
            wanted, found = len(entry["metrics"]), len(cells["spread"])
            raise ValueError(f"`spread` of {where}/{row} must have {wanted} numbers, found {found}.")
    _check_measures(where, entry)
    for name in ("base", "baseline"):
        if name in entry and entry[name] not in entry["rows"]:
            raise ValueError(f"`{name}` of {where} must be one of its rows, found {entry[name]!r}.")
    if "delta_m" in entry:
        check_fields(f"{where}, delta_m", entry["delta_m"], set(_DELTA_M), set())
        for name, kind in _DELTA_M.items():
            require(f"delta_m.{name}", entry["delta_m"][name], kind)


def _check_values(where: str, entry: Mapping[str, Any]) -> None:
    for name in sorted(set(_KINDS) & set(entry)):
        require(f"{name}` of `{where}", entry[name], _KINDS[name])


def _check_measures(where: str, entry: Mapping[str, Any]) -> None:
    """Refuses a measure of a column that is not there, and one of two lines where no second one is named."""
    columns = {*entry["metrics"], *entry.get("also", {}), "all.delta_m"}
    for measures in (entry.get("measures", {}), *(cells.get("measures", {}) for cells in entry["rows"].values())):
        for name in sorted(set(measures) - columns):
            raise ValueError(f"`measures` of {where} must name columns of the table, found {name!r}.")
        if (paired := sorted(set(measures.values()) & set(PAIRED))) and "against" not in entry:
            raise ValueError(f"`against` of {where} must name the line that {paired[0]} is held against, found none.")
