"""data/pins.yaml: the sha256 of the decoded arrays that `fetch` brings (of a data set) and `prepare` makes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines._blocks import fields, known, mapping
from pipelines._yaml import read_yaml

PINS = Path("data/pins.yaml")
_SHA256 = re.compile(r"[0-9a-f]{64}")
Hashes = dict[str, dict[str, str]]  # sha256 by array, by name of a data set or problem


def load_pins() -> Any:
    """What the file of the current folder holds; nothing where there is none."""
    return read_yaml(PINS) if PINS.exists() else {}


def read_pins(document: Any, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Hashes]:
    """The pins in `document`, by section. Raises ValueError for a name that the section lacks, and for no sha256."""
    pins: dict[str, Hashes] = {**{key: {} for key in tables}, **fields(str(PINS), document, set(), set(tables))}
    for section, table in tables.items():
        for name, hashes in mapping(f"{PINS}: {section}", pins[section]).items():
            known(f"{PINS}: {section}", name, table)
            for array, value in mapping(f"{PINS}: {section}.{name}", hashes).items():
                if not isinstance(value, str) or not _SHA256.fullmatch(value):
                    where = f"{PINS}: {section}.{name}.{array}"
                    raise ValueError(f"`{where}` must be a sha256, 64 hexadecimal digits, found {value!r}.")
    return pins
