"""YAML as DVC reads it, so that params.yaml means one thing to the stages and to the tool that runs and edits them.

That is YAML 1.2, by the very library that DVC uses: `1e-05`, which `dvc exp run -S` writes, is a number (to PyYAML it
is a text), `yes` is a text, and a key that stands twice in a block is refused with its line and does not replace the
first.
"""

import math
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError


def read_yaml(path: Path) -> Any:
    """What a YAML file holds. Raises ValueError, naming file and line, for one that cannot be read."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8, found {error.reason} at byte {error.start}.") from None
    except OSError as error:
        raise ValueError(f"{path} must be a file that can be read, found: {error.strerror}.") from None


def parse(text: str, where: str) -> Any:
    """What `text` holds; `where` is its name in errors. Raises ValueError as `read_yaml` does."""
    try:
        return YAML(typ="safe").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f":{mark.line + 1}"
        raise ValueError(f"{where}{line}: must be valid YAML, found: {_short(error.problem)}.") from None
    except (YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:  # a day that no calendar has
        raise ValueError(f"{where}: must be valid YAML, found: {_short(error)}.") from None


def check_plain(where: str, value: Any, within: tuple[int, ...] = ()) -> None:
    """Refuses, by its path, what is no named block, list, text, finite number, true, false or null, at any depth."""
    if isinstance(value, dict | list):
        if id(value) in within:
            raise ValueError(f"`{where}` must not hold itself, found an alias to a block around it.")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise ValueError(f"`{where}` must have texts for names, found {_short(repr(key))}.")
        entries = value.items() if isinstance(value, dict) else ((str(i), entry) for i, entry in enumerate(value))
        for key, entry in entries:
            check_plain(f"{where}.{key}" if where else key, entry, (*within, id(value)))
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"`{where}` must be finite, found {value}.")
    elif not isinstance(value, str | int | float | bool | None):
        raise ValueError(f"`{where}` must be a text, a number, true, false or null, found {_short(repr(value))}.")


def _short(said: object) -> str:
    """On one line, and no longer than a line."""
    text = " ".join(str(said).split())
    return text if len(text) <= 200 else f"{text[:200]} .."
