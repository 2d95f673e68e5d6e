"""One trial of a study: what is to be trained, under which name it is kept, and its training from end to end.

Trials are short and many, so that nothing is checkpointed: a kill costs the trials that were running, and no others.
"""

import dataclasses
import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from gradsurgery.budget import check_equal, trials
from gradsurgery.experiment import history
from pipelines._fingerprint import digest, joined, parts_of
from pipelines._params import Experiment
from pipelines._run import begin
from pipelines._studies import Search
from pipelines._watchdog import drivers, end_with

Record = dict[str, Any]
Key = tuple[str, str, int, int]  # kind, method, number of the trial, seed: the order of the lines of a study


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run. `kind` is "search", or "winner": the best trial of a search on a fresh seed."""

    kind: str
    number: int
    seed: int
    experiment: Experiment
    scale: str
    hashes: Mapping[str, str]
    fingerprint: str

    @property
    def method(self) -> str:
        return self.experiment.name.removeprefix(f"{self.experiment.problem}-")

    @property
    def key(self) -> Key:
        return self.kind, self.method, self.number, self.seed


def searching(search: Search, scale: str, hashes: Mapping[str, str]) -> list[Trial]:
    """Every trial of every method; refuses unequal budgets."""
    found = []
    declared = {m: trials(line.declaration, search.trials, search.num_tasks) for m, line in search.lines.items()}
    check_equal(declared)
    for method, own in declared.items():
        for number, declaration in enumerate(own):
            found.append(_trial("search", number, search.seed, search.lines[method], declaration, scale, hashes))
    return found


def winning(search: Search, method: str, number: int, scale: str, hashes: Mapping[str, str]) -> list[Trial]:
    """One trial of the search again, on every fresh seed."""
    line = search.lines[method]
    declaration = trials(line.declaration, number + 1, search.num_tasks)[number]
    return [_trial("winner", number, seed, line, declaration, scale, hashes) for seed in search.seeds]


def run(driver: int, trial: Trial, folder: Path) -> tuple[Trial, Record, float]:
    """Trains one trial: its line of the study, free of clock and machine, and the seconds it took.

    A trial that diverges ends there: its record says so, and holds the epochs before.
    """
    _watched(driver)
    started = time.perf_counter()
    learner = begin(trial.experiment, folder, trial.hashes, trial.seed)
    while len(learner.epochs) < learner.problem.epochs and learner.diverged is None:
        learner.epoch()
    line = history(
        learner, trial.experiment.declaration, experiment=trial.experiment.name, seed=trial.seed, scale=trial.scale,
        track=trial.experiment.track, role=trial.experiment.role.record(), family=trial.experiment.family,
        data_sha256=joined(trial.hashes),
    )  # fmt: skip
    own = {"kind": trial.kind, "method": trial.method, "trial": trial.number, "fingerprint": trial.fingerprint}
    epochs = [row for row in line["epochs"] if row["epoch"] != learner.diverged]
    slim = {"epochs": epochs, "diagnostics": [], "trajectory": None, "layers": None}
    if trial.kind == "search":  # what is picked on validation is held against nothing on the test set
        slim["examples"] = None
    failed = learner.diverged is not None
    return trial, {**line, **slim, **own, "failed": failed}, time.perf_counter() - started


def _trial(
    kind: str, number: int, seed: int, line: Experiment, declaration: dict[str, Any] | Mapping[str, Any], scale: str,
    hashes: Mapping[str, str],
) -> Trial:  # fmt: skip
    # what a line records on the way costs up to a quarter of its time, and a study keeps none of it
    learner = {name: value for name, value in declaration.get("learner", {}).items() if name == "precision"}
    declaration = {key: value for key, value in declaration.items() if key != "learner"}
    declaration |= {"learner": learner} if learner else {}
    experiment = dataclasses.replace(line, seeds=(seed,), declaration=declaration)
    fingerprint = digest(parts_of(experiment, scale, joined(hashes), None))
    return Trial(kind, number, seed, experiment, scale, hashes, fingerprint)


@functools.cache
def _watched(driver: int) -> None:
    """Once a process: it ends when the one that started it does."""
    end_with([psutil.Process(driver), *drivers()])
