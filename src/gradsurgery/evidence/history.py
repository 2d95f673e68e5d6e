"""Histories as the report sees them: one `Run` per line (the format: docs/architecture.md).

What is read is what `train` wrote: whoever reads a history from Git holds its lines to their hashes beside the costs
(`pipelines/_evidence.py`). So here only kinds are checked, and what seeds of one history must have in common.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_type_hints

from gradsurgery.core.discovery import require
from gradsurgery.evidence.roles import Role, read_role
from gradsurgery.evidence.strict import loads, short

TRACKS = ("controlled", "as-published", "reference")
_SHARED = (
    "experiment", "problem", "scale", "track", "family", "role", "declaration", "tasks", "metrics", "data_sha256",
    "test_rows",
)  # fmt: skip


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
        written: hashes of its numbers and of its settings, as its costs hold them; () for one that was not read.
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
    examples: list[dict[str, Any]] | None = None
    activity: Mapping[str, float] | None = None
    diverged: int | None = None
    protocol: str | None = None
    written: tuple[str, ...] = ()

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
    written = numbers_of(record), settings_of(record.get("declaration"), record.get("scale"))
    record |= {"role": read_role("role", record.get("role")), "written": written}
    own, hints = {}, _hints(Run)
    for field in dataclasses.fields(Run):
        if field.name in record:  # one that came later stands for its default in an older history
            own[field.name] = record[field.name]
            require(field.name, record[field.name], hints[field.name])
        elif field.default is dataclasses.MISSING:
            raise ValueError(f"`{field.name}` must be given, found nothing.")
    run = Run(**own)
    if not run.experiment.startswith(f"{run.problem}-"):
        raise ValueError(f"`experiment` must be {run.problem}-<method>, found {run.experiment!r}.")
    if run.track not in TRACKS:
        raise ValueError(f"`track` must be one of {', '.join(TRACKS)}, found {run.track!r}.")
    if not run.epochs:
        raise ValueError("`epochs` must hold at least one epoch, found none.")
    return run


def numbers_of(record: Mapping[str, Any]) -> str:
    """One hash of everything in a line but its labels, and its declaration, which `settings_of` covers."""
    own = {name: value for name, value in record.items() if name not in ("track", "role", "family", "declaration")}
    return short(own)


def settings_of(declaration: Any, scale: Any) -> str:
    """One hash of what is declared."""
    return short([declaration, scale])


_hints = functools.cache(get_type_hints)
