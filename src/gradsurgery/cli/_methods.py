"""A method by the name that somebody typed: one of ours, or anything that can be imported."""

import sys
from pathlib import Path

from gradsurgery import build
from gradsurgery.core.interfaces import Method
from gradsurgery.foreign import load


def is_foreign(name: str) -> bool:
    """Whether the name is `module:name` or `file.py:name`, and none of ours."""
    return ":" in name


def importable(target: str) -> str:
    """`module:name` of what may be `folder/module.py:name`, whose folder can be imported from hereafter."""
    module, _, name = target.partition(":")
    if not module.endswith(".py"):
        return target
    path = Path(module).resolve()
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    return f"{path.stem}:{name}"


def method(name: str) -> Method:
    """Raises ValueError, with the nearest names, for what is no method."""
    return load(importable(name)) if is_foreign(name) else build(name)
