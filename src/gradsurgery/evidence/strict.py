"""JSON as this project writes it. Python's own reader also takes NaN, a key twice and a whole number of any length."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any


def loads(text: str) -> Any:
    """The document in `text`.

    Raises:
        ValueError: saying what was found: `json.JSONDecodeError`, which holds the place, where it is no JSON at all.
    """
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("JSON must be nested no deeper than can be read, found it is.") from None


def short(document: Any) -> str:
    """A hash of a document, as costs hold it beside a run. Raises ValueError for a number that is not finite."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refuse(name: str) -> Any:
    raise ValueError(f"numbers must be finite, found {name}.")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`{twice}` must stand once in its block, found it twice.")
    return found
