"""The finished trials of one problem's study: on disk after every change, in an order of their own."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines._costs import environment
from pipelines._trials import Key, Record, Trial
from pipelines.train import as_json, replace

WORK, DONE = Path("runs/study"), Path("reports/study")


class Finished:
    """The finished trials of one problem and their seconds, on disk after every change."""

    def __init__(self, problem: str) -> None:
        self._problem = problem
        self._records: dict[Key, Record] = {}
        self._seconds: dict[str, float] = {}
        self._wanted: set[Key] = set()
        for folder in (DONE, WORK):
            path, costs = folder / f"{problem}.jsonl", folder / "costs" / f"{problem}.json"
            for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
                record = json.loads(line)
                self._records[_key(record)] = record
            self._seconds |= json.loads(costs.read_text(encoding="utf-8"))["seconds"] if costs.exists() else {}

    def missing(self, trials: Iterable[Trial]) -> list[Trial]:
        """Those of `trials` that are not there, or were trained from something else; all of them are wanted now."""
        found = []
        for trial in trials:
            self._wanted.add(trial.key)
            if self._records.get(trial.key, {}).get("fingerprint") != trial.fingerprint:
                self._records.pop(trial.key, None)
                found.append(trial)
        return found

    def keep(self, record: Record, seconds: float) -> None:
        """Takes a finished trial."""
        self._records[_key(record)] = record
        self._seconds["/".join(map(str, _key(record)))] = round(seconds, 3)
        self._write(WORK)

    def publish(self) -> None:
        """Everything that is wanted, where the report finds it."""
        self._write(DONE)

    def records(self, kind: str) -> list[Record]:
        """Of one kind, in order."""
        return [self._records[key] for key in sorted(self._wanted & set(self._records)) if key[0] == kind]

    def _write(self, folder: Path) -> None:
        kept = sorted(self._wanted & set(self._records)) if folder == DONE else sorted(self._records)
        names = {"/".join(map(str, key)) for key in kept}
        seconds = {name: value for name, value in self._seconds.items() if name in names}
        costs = {"environment": environment("cpu"), "seconds": seconds}
        replace(
            folder / "costs" / f"{self._problem}.json", json.dumps(costs, indent=1, sort_keys=True, allow_nan=False)
        )
        replace(folder / f"{self._problem}.jsonl", "\n".join(as_json(self._records[key]) for key in kept))


def _key(record: Mapping[str, Any]) -> Key:
    return record["kind"], record["method"], record["trial"], record["seed"]
