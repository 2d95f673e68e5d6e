"""The finished trials of one problem's study: on disk after every change, in an order of their own."""

import hashlib
import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gradsurgery.evidence.strict import loads
from gradsurgery.evidence.study import parse
from pipelines._costs import environment
from pipelines._files import as_json, named, read_json, read_text, replace
from pipelines._trials import Key, Record, Trial

WORK, DONE = Path("runs/study"), Path("reports/study")


class Finished:
    """The finished trials of one problem and their seconds, on disk after every change.

    What is damaged in runs/ is left out, said, and trained again.

    Raises:
        ValueError: what is damaged lies in reports/, where Git has it.
    """

    def __init__(self, problem: str) -> None:
        self._problem = problem
        self._records: dict[Key, Record] = {}
        self._seconds: dict[str, float] = {}
        self._wanted: set[Key] = set()
        for folder in (DONE, WORK):
            self._records |= _records(folder / f"{problem}.jsonl", folder == WORK)
            self._seconds |= _seconds(folder / "costs" / f"{problem}.json", folder == WORK)

    def missing(self, trials: Iterable[Trial]) -> list[Trial]:
        """Those of `trials` that are not there, or were trained from something else; all of them are wanted now."""
        found = []
        for trial in trials:
            self._wanted.add(trial.key)
            known = self._records.get(trial.key, {}).get("fingerprint") == trial.fingerprint
            if not (known and _name(trial.key) in self._seconds):
                self._records.pop(trial.key, None)
                found.append(trial)
        return found

    def keep(self, record: Record, seconds: float) -> None:
        """Takes a finished trial."""
        self._records[_key(record)] = record
        self._seconds[_name(_key(record))] = round(seconds, 3)
        self._write(WORK)

    def publish(self) -> None:
        """Everything that is wanted, where the report finds it."""
        self._write(DONE)

    def records(self, kind: str) -> list[Record]:
        """Of one kind, in order."""
        return [self._records[key] for key in sorted(self._wanted & set(self._records)) if key[0] == kind]

    def _write(self, folder: Path) -> None:
        kept = sorted(self._wanted & set(self._records)) if folder == DONE else sorted(self._records)
        names = {_name(key) for key in kept}
        seconds = {name: value for name, value in self._seconds.items() if name in names}
        costs = {"environment": environment("cpu"), "seconds": seconds}
        text = json.dumps(costs, indent=1, sort_keys=True, allow_nan=False)
        replace(folder / "costs" / f"{self._problem}.json", text)
        lines = [self._records[key] if folder == DONE else _sealed(self._records[key]) for key in kept]
        replace(folder / f"{self._problem}.jsonl", "\n".join(map(as_json, lines)))


def _key(record: Mapping[str, Any]) -> Key:
    return record["kind"], record["method"], record["trial"], record["seed"]


def _name(key: Key) -> str:
    return "/".join(map(str, key))


def _sealed(record: Record) -> Record:
    return {**record, "sealed": hashlib.sha256(as_json(record).encode()).hexdigest()}


def _records(path: Path, ours: bool) -> dict[Key, Record]:
    """The trials in one file, by key. A line that is none is left out and said if the file is `ours`, else refused."""
    found: dict[Key, Record] = {}
    remedy = "its trials are run again" if ours else f"restore it (`git checkout {path}`) or remove it"
    if not path.exists():
        return found
    try:
        lines = read_text(path, remedy).splitlines()
        if not lines:
            raise ValueError(f"{path} must hold at least one trial, found none: {remedy}.")
    except ValueError as error:
        _say(error, ours)
        lines = []
    for number, line in enumerate(lines, start=1):
        try:
            parse([line], f"{path}:{number}")
            record = loads(line)
            if ours and record != _sealed({n: value for n, value in record.items() if n != "sealed"}):
                raise ValueError(f"{path}:{number}: a trial must be as it was written, found it changed.")
            record.pop("sealed", None)
            if not isinstance(record.get("fingerprint"), str) or type(record["failed"]) is not bool:
                raise ValueError(f"{path}:{number}: a trial must have a `fingerprint` and say whether it failed.")
            if _key(record) in found:
                raise ValueError(f"{path}:{number}: a trial must stand once, found {_name(_key(record))} again.")
            found[_key(record)] = record
        except ValueError as error:
            _say(ValueError(f"{str(error).rstrip('.')}: {remedy}."), ours)
    return found


def _seconds(path: Path, ours: bool) -> dict[str, float]:
    """The seconds of the trials in one file, by name; likewise."""
    remedy = "its trials are run again" if ours else f"restore it (`git checkout {path}`) or remove it"
    if not path.exists():
        return {}
    try:
        found = read_json(path, remedy)
        seconds = found.get("seconds") if isinstance(found, dict) else None
        if not isinstance(seconds, dict):
            raise ValueError("`seconds` must be a block of numbers by trial")
        for name, value in seconds.items():
            if type(value) not in (int, float) or not (math.isfinite(value) and value >= 0):
                raise ValueError(f"`seconds.{name}` must be a number from 0 on, found {value!r}")
        return dict(seconds)
    except ValueError as error:
        _say(ValueError(named(path, error, remedy)), ours)
        return {}


def _say(error: ValueError, ours: bool) -> None:
    if not ours:
        raise error
    print(f"warning: {error}", file=sys.stderr)
