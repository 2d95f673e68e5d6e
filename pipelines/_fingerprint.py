"""What a run's numbers depend on, part by part: its settings, its data, its evidence, the files it executes.

The parts stand beside the costs in Git. A run whose parts are still the same need not be made again, on any machine
and without data; where one differs, its name is the reason why the run is stale. Files are found by following imports
from the run's own modules, so that an edit of one method touches no run of another. The whole of core/ counts for all.
"""

import ast
import functools
import hashlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradsurgery
from gradsurgery.evidence.history import settings_of
from gradsurgery.evidence.strict import short
from pipelines._files import as_json
from pipelines._params import Experiment

LIBRARY = Path(gradsurgery.__file__).parent
LOOP = Path(__file__).with_name("_run.py")  # what every run goes through outside the library
Parts = dict[str, Any]


def parts_of(experiment: Experiment, scale: str, data_sha256: str, evidence: Mapping[str, Any] | None) -> Parts:
    """One short hash for everything that can change a number of this line, on any seed."""
    found: Parts = {
        "settings": settings_of(experiment.declaration, scale),
        "data": data_sha256[:16],
        "sources": _sources(sources(experiment)),
    }
    return found | ({"evidence": short(evidence)} if evidence is not None else {})


def digest(parts: Parts) -> str:
    """All parts in one word."""
    return hashlib.sha256(as_json(parts).encode()).hexdigest()[:32]


def joined(hashes: Mapping[str, str]) -> str:
    """One hash for a set of arrays."""
    return hashlib.sha256(as_json(dict(hashes)).encode()).hexdigest()


def sources(experiment: Experiment) -> list[Path]:
    """The files that a run of this line executes and that can change its numbers, and no others."""
    declared = experiment.declaration
    leaves = [("problems", declared["module"]), ("networks", declared["settings"]["network"]["name"])]
    leaves += [(f"{slot}s", declared[slot]["name"]) for slot in ("transform", "balancer", "rule", "aggregator")]
    found: set[Path] = set()
    left = [LIBRARY / "experiment.py", *(_leaf(kind, name) for kind, name in leaves)]
    while left:
        if (path := left.pop()) not in found:
            found.add(path)
            left += _imported(path)
    return sorted({LOOP, *(LIBRARY / "core").glob("*.py"), *found})


def _leaf(kind: str, name: str) -> Path:
    """The file of one leaf, where discovery finds it: `pipelines.commands` brings a folder of its own."""
    folders = [Path(folder) for folder in importlib.import_module(f"gradsurgery.{kind}").__path__]
    return next(path for folder in folders if (path := folder / f"{name}.py").is_file())


def changes(old: Parts, new: Parts, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """In words, what differs between two sets of parts, and between two declarations where the settings do."""
    found = []
    if old.get("settings") != new["settings"]:
        differing = list(_settings(before, after)) or ["`scale`"]
        found.append(f"setting {', '.join(differing)} changed")
    was, now = old.get("sources", {}), new["sources"]
    if odd := sorted(name for name in {*was, *now} if was.get(name) != now.get(name)):
        found.append(f"source file {', '.join(odd)} changed")
    found += [f"{part} changed" for part in ("data", "evidence") if old.get(part) != new.get(part)]
    return found


def _settings(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _settings(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"`{prefix}{name}`"


def _sources(paths: Sequence[Path]) -> dict[str, str]:
    """Short hashes by name; core/, which counts for all, as one."""
    core = [path for path in paths if path.parent == LIBRARY / "core"]
    whole = hashlib.sha256("".join(f"{path.name} {_hash(path)}\n" for path in core).encode()).hexdigest()
    return {"src/gradsurgery/core": whole[:16]} | {_name(path): _hash(path)[:16] for path in paths if path not in core}


def _name(path: Path) -> str:
    return f"src/gradsurgery/{path.relative_to(LIBRARY)}" if path.is_relative_to(LIBRARY) else f"pipelines/{path.name}"


def _hash(path: Path) -> str:
    return _hash_of(path, path.stat().st_mtime_ns)


@functools.cache
def _hash_of(path: Path, time: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def _imported(path: Path) -> list[Path]:
    """The modules of this library that one file imports, at its top or anywhere else in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    own = [
        LIBRARY.parent.joinpath(*name.split(".")).with_suffix(".py") for name in names if name.startswith("gradsurg")
    ]
    return [path for path in own if path.is_file()]
