"""Which runs are not there, and why: what is wanted, by fingerprint, against what Git and runs/ hold."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.experiment import evidence_of
from gradsurgery.ledger.protocol import Protocol
from pipelines._arrays import hashes_of
from pipelines._blocks import unknown
from pipelines._device import device_for, fingerprint_on
from pipelines._files import about
from pipelines._fingerprint import Parts, changes, digest, joined, parts_of
from pipelines._params import Experiment, Params
from pipelines._records import Record, Records
from pipelines._run import Run, labels


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of params.yaml as it is wanted: its records by seed, and the runs that are stale, each with its reason.

    `tidy`: its history holds the wanted seeds alone, under today's labels.
    """

    experiment: Experiment
    parts: Parts
    fingerprint: str
    found: Mapping[int, Record]
    stale: Mapping[Run, str]
    tidy: bool


class Plan:
    """What is wanted under one folder, on one device; `protocol` says which runs are confirmatory, if any are."""

    def __init__(self, params: Params, records: Records, device: str, protocol: Protocol | None = None) -> None:
        self._params, self._records, self._device, self._protocol = params, records, device, protocol
        self._hashes: dict[str, dict[str, str]] = {}

    def line(self, experiment: Experiment) -> Line:
        """What there is of one line. Raises ValueError where its data or its evidence cannot be told."""
        evidence = self.evidence(experiment)
        hashes = self._pinned(experiment.problem)
        parts = parts_of(experiment, self._params.scale, joined(hashes), evidence)
        device = device_for(experiment.declaration, self._device)
        wanted = fingerprint_on(digest(parts), device)
        found, stale = self._records.read(experiment), {}
        for seed in experiment.seeds:
            if seed not in found or found[seed].fingerprint != wanted:
                known = tuple(hashes), joined(hashes), wanted, evidence, self._registered(experiment, seed)
                run = Run(experiment, seed, self._params.scale, *known)
                stale[run] = _why(found.get(seed), parts, experiment)
        own = labels(experiment).items()
        tidy = set(found) == set(experiment.seeds) and all(own <= record.line.items() for record in found.values())
        return Line(experiment, parts, wanted, found, stale, tidy)

    def begun(self, experiment: Experiment) -> bool:
        """Whether any run of a line was kept."""
        return self._records.history(experiment).exists()

    def missing(self, experiment: Experiment) -> list[int]:
        """The seeds of one line that are not there; all where its evidence is not either."""
        source = experiment.declaration.get("evidence")
        if source is not None and not self.begun(self._params.experiment(source)):
            return list(experiment.seeds)
        return [run.seed for run in self.line(experiment).stale]

    def proven(self, line: Line) -> dict[int, Record]:
        """The records of one line under today's sources, for a line whose numbers were proven not to have changed.

        Empty where something else has changed: settings, data, a seed that is no longer asked for.
        """
        wanted = (line.experiment.declaration, joined(self._pinned(line.experiment.problem)))
        same = all((own.line["declaration"], own.line["data_sha256"]) == wanted for own in line.found.values())
        if not same or not set(line.found) <= set(line.experiment.seeds):
            return {}
        today = line.fingerprint, line.parts
        return {seed: Record(own.line, own.cost, own.environment, *today) for seed, own in line.found.items()}

    def prove(self, names: Sequence[str]) -> tuple[int, set[str]]:
        """Writes what is `proven` of these lines; how many were, and the families of which a run is stale still."""
        count, stale = 0, set()
        for experiment in sorted(self._params.experiments.values(), key=lambda line: "evidence" in line.declaration):
            if not self.begun(experiment):
                stale.add(experiment.family)
                continue
            if experiment.name in names and (proven := self.proven(self.line(experiment))):
                self._records.write(experiment, proven)
                count += 1
            if self.line(experiment).stale:
                stale.add(experiment.family)
        return count, stale

    def check_data(self, problems: Iterable[str]) -> None:
        """Refuses arrays that are missing or not the pinned ones, before anything is trained on them."""
        for problem in sorted(set(problems)):
            self._hashes[problem] = self._hashed(problem)

    def evidence(self, experiment: Experiment) -> dict[str, Any] | None:
        """The layer scores that an earlier line left, where the declaration names one. Raises ValueError where there
        are none."""
        name = experiment.declaration.get("evidence")
        if name is None:
            return None
        source = self._params.experiment(name)
        path, remedy = self._records.history(source), f"run `python -m pipelines.train {name}` first"
        found = self._records.read(source)
        if not found:
            raise ValueError(f"`evidence` must have a history, found no {path}: {remedy}.")
        with about(path, remedy):
            return evidence_of([found[seed].line for seed in sorted(found)])

    def _registered(self, experiment: Experiment, seed: int) -> str | None:
        own = self._protocol
        return own.sha256 if own and seed in own.asked(experiment.name, self._params.scale) else None

    def _pinned(self, problem: str) -> dict[str, str]:
        """By the pins, which a fresh clone has without data; what is on the disk, where nothing is pinned."""
        if problem not in self._hashes:
            pins = self._params.problems[problem].sha256
            self._hashes[problem] = dict(sorted(pins.items())) if pins else self._hashed(problem)
        return self._hashes[problem]

    def _hashed(self, problem: str) -> dict[str, str]:
        return hashes_of(Path("data/processed") / problem, self._params.problems[problem].sha256)


def chosen(names: Sequence[str], params: Params) -> list[Experiment]:
    """The lines of some families or of these names; all of them where nothing is named. Raises ValueError."""
    lines = params.experiments
    families = {line.family for line in lines.values()}
    for name in names:
        if name not in families and name not in lines:
            raise unknown("what to train", name, [*sorted(families), *lines])
    return [line for line in lines.values() if not names or line.name in names or line.family in names]


def _why(found: Record | None, parts: Parts, experiment: Experiment) -> str:
    if found is None:
        return "never run"
    if not found.fingerprint:
        return "no fingerprint was recorded"
    if found.fingerprint.partition("@")[0] == digest(parts):
        return f"made on {found.environment.get('device')}"
    return "; ".join(changes(found.parts, parts, found.line.get("declaration", {}), experiment.declaration))
