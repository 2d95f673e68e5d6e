"""A line of the table for a method of the user's own: what it says of its aggregator, and what makes it stale."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradsurgery.aggregators
from gradsurgery.cli._methods import importable
from gradsurgery.core import discovery
from gradsurgery.foreign import load

_LEAVES = str(Path(__file__).with_name("leaves"))


def bring() -> None:
    """Lets discovery find the leaf `imported` in this process."""
    if _LEAVES not in gradsurgery.aggregators.__path__:
        gradsurgery.aggregators.__path__.append(_LEAVES)
        discovery._names.cache_clear()  # which may have been asked before


def aggregator(target: str) -> dict[str, Any]:
    """The block `aggregator` of its line. Raises ValueError for what is no method."""
    target = importable(target)
    load(target)
    return {"name": "imported", "target": target, "sha256": _sha256(target.partition(":")[0])}


def _sha256(module: str) -> str:
    """Of the module's file and of those beside or below it that it imports, and so on: of the author's own code."""
    spec = importlib.util.find_spec(module)
    first = Path(str(spec.origin)) if spec and spec.origin else None
    if first is None or not first.is_file():
        return ""
    top = module.partition(".")[0]
    root = first.parents[module.count(".") + (first.name == "__init__.py")]
    found, left = set[Path](), [first]
    while left:
        if (path := left.pop()) not in found:
            found.add(path)
            left += _imports(path, root, None if root.name != "site-packages" else top)
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(found))).hexdigest()[:32]


def _imports(path: Path, root: Path, only: str | None) -> Iterator[Path]:
    """Files of `root` that a file imports, at its top or anywhere else in it; of one package where there are others."""
    package = path.parent.relative_to(root).parts
    for node in ast.walk(ast.parse(path.read_bytes())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = [*package[: len(package) - node.level + 1]] if node.level else []
            base = above + (node.module.split(".") if node.module else [])
            names = [base, *([*base, alias.name] for alias in node.names)]
        for parts in names:
            if parts and only in (None, parts[0]):
                stem = root.joinpath(*parts)
                yield from (each for each in (stem.with_suffix(".py"), stem / "__init__.py") if each.is_file())
