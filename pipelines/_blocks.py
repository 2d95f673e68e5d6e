"""Blocks of params.yaml: named values, with the fields that they must and may have. A wrong one gives one sentence.

Names of data sets, problems and lines become folders, files, DVC stages and words of the commands that DVC hands to a
shell. One pattern for all of them is checked here, before any of that is made of a name.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
WHOLE = ("methods", "arrays")  # what runs on a problem, what is in a data set: taken whole or not at all
FEW = 30  # as many known names are all listed; of more only the nearest


def _near(name: object, names: Iterable[str]) -> str:
    from gradsurgery.core.discovery import did_you_mean  # here: it comes with torch, and `--help` need not wait for it

    return did_you_mean(name, names)


def mapping(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"`{where}` must be a block of named values, found {value!r}.")
    return value


def fields(where: str, value: Any, required: set[str], optional: frozenset[str] | set[str] = frozenset()) -> Any:
    value = mapping(where, value)
    if missing := sorted(required - set(value)):
        raise ValueError(f"`{where}` must hold `{missing[0]}`, found only {', '.join(value) or 'nothing'}.")
    if unknown := sorted(set(value) - required - set(optional)):
        known = sorted(required | set(optional))
        raise ValueError(
            f"`{where}.{unknown[0]}` is no field of it; its fields are: {', '.join(known)}{_near(unknown[0], known)}"
        )
    return value


def named(where: str, value: Any) -> Mapping[str, Any]:
    """A block whose keys are names."""
    for name in mapping(where, value):
        check_name(where, name)
    return mapping(where, value)


def check_name(where: str, name: object) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            f"`{where}` must have names of up to 64 small letters, digits, _ and -, the first no sign, "
            f"found {name!r:.82}."
        )


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`base`, and over it `own`: a block of that changes single fields, unless it says which (`name`, `kind`) it is."""
    found = dict(base)
    for key, value in own.items():
        joins = isinstance(value, dict) and isinstance(base.get(key), dict) and not value.keys() & {"name", "kind"}
        found[key] = {**base[key], **value} if joins and key not in WHOLE else value
    return found


def whole_block(
    where: str, block: Any, section: str, table: Mapping[str, Any], within: tuple[str, ...] = ()
) -> dict[str, Any]:
    """`block` with all that it takes from the one of `table`, the blocks of a section, that it is `like`."""
    own = dict(mapping(where, block))
    if "like" not in own:
        return own
    like = known(f"{where}.like", own.pop("like"), table)
    if like in within:
        raise ValueError(f"`{where}.like` must not lead back to itself, found {like!r}.")
    return merged(whole_block(f"{section}.{like}", table[like], section, table, (*within, like)), own)


def whole_blocks(section: str, table: Any) -> dict[str, dict[str, Any]]:
    """Every block of a section, whole."""
    return {
        name: whole_block(f"{section}.{name}", block, section, table) for name, block in named(section, table).items()
    }


def known(where: str, name: object, among: Iterable[str]) -> str:
    """`name`, if it is one of those. Raises ValueError with the nearest ones, and with all where they are few."""
    names = list(among)
    if not isinstance(name, str) or name not in names:
        raise unknown(where, name, names)
    return name


def unknown(where: str, name: object, among: Iterable[str]) -> ValueError:
    """What to say of a name that is none of those."""
    names = list(among)
    listed = ", ".join(names) if len(names) <= FEW else f"{len(names)} names"
    return ValueError(f"`{where}` must be one of {listed}, found {name!r}{_near(name, names)}")


def whole(where: str, value: Any, least: int, most: float = float("inf")) -> int:
    if type(value) is not int or not least <= value <= most:
        upper = "on" if most == float("inf") else f"to {most}"
        raise ValueError(f"`{where}` must be a whole number from {least} {upper}, found {value!r}.")
    return value


def seed_list(where: str, value: Any) -> tuple[int, ...]:
    """In ascending order."""
    if not isinstance(value, list) or not value or not all(type(s) is int and s >= 0 for s in value):
        raise ValueError(f"`{where}` must be a list of whole numbers from 0 on, found {value!r}.")
    if len(set(value)) < len(value):
        raise ValueError(f"`{where}` must be different numbers, found {value!r}.")
    return tuple(sorted(value))
