"""Histories as the report sees them: one `Run` per line, checked on the way in (the format: docs/architecture.md)."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gradsurgery.evidence.history_parts import (
    check_activity,
    check_declared,
    check_examples,
    check_layers,
    check_observed,
    check_rows,
    check_trajectory,
)
from gradsurgery.evidence.roles import Role, read_role
from gradsurgery.evidence.strict import loads

_TYPES: dict[str, tuple[type, ...]] = {
    "experiment": (str,), "problem": (str,), "seed": (int,), "scale": (str,), "track": (str,), "family": (str,),
    "role": (dict,), "declaration": (dict,), "tasks": (list,), "metrics": (dict,), "data_sha256": (str, dict),
    "epochs": (list,), "diagnostics": (list,), "skipped_steps": (int,), "trajectory": (dict, type(None)),
}  # fmt: skip

_SHARED = (
    "experiment", "problem", "scale", "track", "family", "role", "declaration", "tasks", "metrics", "data_sha256",
    "test_rows",
)  # fmt: skip

# Fields that only later histories hold, with what stands for them where they are missing.
_LATER: dict[str, tuple[tuple[type, ...], Any]] = {
    "layers": ((dict, type(None)), None), "test_rows": ((int, dict, type(None)), None),
    "observed": ((dict, type(None)), None), "examples": ((list, type(None)), None),
    "activity": ((dict, type(None)), None), "diverged": ((int, type(None)), None),
    "protocol": ((str, type(None)), None),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished seed of one experiment.

    Attributes:
        family: the paper or the group whose line it is.
        role: what the line is there for.
        layers: per-layer conflict counts: names, thresholds, scores per epoch, whole; None unless asked for.
        test_rows: examples behind every test metric, or by task where each task has examples of its own.
        observed: cosine, magnitude similarity and curvature of every shared layer at every diagnosed step; None unless
            asked for.
        examples: what each test example contributed to the metrics, in the best epoch on validation and in the last;
            None without data and for a run that diverged.
        activity: how much its parts did, on average over its training: `evidence.activity.acted`.
        diverged: the epoch in which the run diverged, its last, which may hold None; None for a run that did not.
        protocol: sha256 of the protocol that registered the run before it began; None for an exploratory one.
    """

    experiment: str
    problem: str
    seed: int
    scale: str
    track: str
    family: str
    role: Role
    declaration: Mapping[str, Any]
    tasks: list[str]
    metrics: Mapping[str, bool]
    data_sha256: str | Mapping[str, str]
    epochs: list[dict[str, Any]]
    diagnostics: list[dict[str, Any]]
    skipped_steps: int
    trajectory: Mapping[str, Any] | None
    layers: Mapping[str, Any] | None = None
    test_rows: int | Mapping[str, int] | None = None
    observed: Mapping[str, Any] | None = None
    examples: Sequence[Mapping[str, Any]] | None = None
    activity: Mapping[str, float] | None = None
    diverged: int | None = None
    protocol: str | None = None

    @property
    def method(self) -> str:
        """The experiment's name without its problem: `pcgrad`, `cagrad-c05`, `single_task-left`."""
        return self.experiment.removeprefix(self.problem + "-")

    @property
    def test_size(self) -> int | None:
        """Examples behind the mean over tasks on the test set; None on a landscape, and where the history is silent."""
        if isinstance(self.test_rows, Mapping):
            return sum(self.test_rows.values())
        if self.test_rows is not None:
            return self.test_rows
        return self.declaration.get("settings", {}).get("test_size") or None

    @property
    def own_metrics(self) -> dict[str, bool]:
        """The metrics the run answers for: all, or only its own task's for a single-task run."""
        balancer = self.declaration.get("balancer", {})
        if balancer.get("name") != "single_task":
            return dict(self.metrics)
        task = self.tasks[balancer["task"]]
        return {name: higher for name, higher in self.metrics.items() if name.split(".")[0] == task}


def parse(lines: Iterable[str], where: str) -> list[Run]:
    """The runs of one history, in the order of its lines.

    Raises:
        ValueError: `<where>:<line>: ...` for a line that is no run, is cut off, repeats a seed or names another file.
    """
    runs: list[Run] = []
    for number, line in enumerate(lines, start=1):
        try:
            runs.append(_run(line))
            _check_alike(runs[-1], runs[:-1])
        except ValueError as error:
            raise ValueError(f"{where}:{number}: {error}") from None
    if not runs:
        raise ValueError(f"{where}:1: a history must hold at least one run, found an empty file.")
    return runs


def _check_alike(run: Run, before: Sequence[Run]) -> None:
    """Seeds of one experiment differ in nothing but the seed, and come in order."""
    for other in before[:1]:
        for field in _SHARED:
            if getattr(run, field) != getattr(other, field):
                what = f"{getattr(other, field)!r:.80}, found {getattr(run, field)!r:.80}"
                raise ValueError(f"`{field}` must be {what}: the seeds of one history must have it in common.")
    if any(other.seed == run.seed for other in before):
        raise ValueError(f"`seed` must appear once, found {run.seed} again.")
    if before and run.seed < before[-1].seed:
        raise ValueError(f"`seed` must rise from line to line, found {run.seed} after {before[-1].seed}.")


def _run(line: str) -> Run:
    try:
        record = loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"a line must be one JSON object, found {error.msg} at column {error.colno}.") from None
    if not isinstance(record, dict):
        raise ValueError(f"a line must be one JSON object, found {type(record).__name__}.")
    for field, types in _TYPES.items():
        if field not in record:
            raise ValueError(f"`{field}` must be given, found nothing.")
        if not isinstance(record[field], types) or (types == (int,) and isinstance(record[field], bool)):
            raise ValueError(f"`{field}` must be {types[0].__name__}, found {type(record[field]).__name__}.")
    for field, (types, default) in _LATER.items():
        if not isinstance(record.setdefault(field, default), types):
            raise ValueError(f"`{field}` must be {types[0].__name__} or null, found {type(record[field]).__name__}.")
    check_declared(record)
    check_rows("epochs", record["epochs"], "epoch")
    check_rows("diagnostics", record["diagnostics"], "step")
    _check_end(record["epochs"], record["diverged"])
    for entry in record["epochs"]:
        if entry.get("epoch") == record["diverged"]:
            continue
        for name in record["metrics"]:
            for key in (f"val.{name}", f"test.{name}"):
                value = entry.get(key)
                if not isinstance(value, int | float) or not math.isfinite(value):
                    raise ValueError(f"`epochs` must hold a finite {key} in epoch {entry.get('epoch')}, found {value}.")
    for field, check in (("trajectory", check_trajectory), ("layers", check_layers), ("observed", check_observed)):
        if record[field] is not None:
            check(record[field])
    check_activity(record["activity"] or {})
    if record["examples"] is not None:
        check_examples(record["examples"], record["epochs"])
    known = {field: record[field] for field in (*_TYPES, *_LATER)}
    return Run(**{**known, "role": read_role("role", record["role"])})


def _check_end(epochs: list[Any], diverged: int | None) -> None:
    last = epochs[-1].get("epoch")
    if diverged is not None and diverged != last:
        raise ValueError(f"`diverged` must be the last of `epochs` ({last}) or null, found {diverged}.")
