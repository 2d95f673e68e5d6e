"""The trials of one problem's study: which runs they are, and the line of the study that each leaves.

A trial is a run like any of `train`, of a line of its own: what is finished lies in runs/study/<problem>/. What was
published is taken as it is, as long as its fingerprint is today's.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.budget import check_equal, trials
from gradsurgery.core.discovery import require
from gradsurgery.evidence import study
from gradsurgery.evidence.strict import loads
from pipelines._arrays import hashes_of
from pipelines._checkpoints import finished
from pipelines._costs import environment
from pipelines._evidence import check_study, sha256_of, study_costs
from pipelines._files import about, as_json, read_json, read_text, write
from pipelines._fingerprint import digest, joined, parts_of
from pipelines._params import Params
from pipelines._run import Run

DONE = Path("reports/study")
Record = dict[str, Any]
Key = tuple[str, str, int, int]  # kind, method, number of the trial, seed: the order of the lines of a study


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run. `kind` is "search", or "winner": the best trial of a search on a fresh seed."""

    kind: str
    method: str
    number: int
    run: Run

    @property
    def key(self) -> Key:
        return self.kind, self.method, self.number, self.run.seed


class Study:
    """All trials of one problem.

    Raises:
        ValueError: its arrays are not there, or what was published is damaged.
    """

    def __init__(self, problem: str, params: Params) -> None:
        self.problem, self.search, self._scale = problem, params.studies[problem], params.scale
        self._hashes = hashes_of(Path("data/processed") / problem, params.problems[problem].sha256)
        self._published = _published(problem)
        self._wanted: dict[Key, Trial] = {}

    def searching(self) -> list[Trial]:
        """Every trial of every method; refuses unequal budgets."""
        search = self.search
        drawn = {m: trials(line.declaration, search.trials, search.num_tasks) for m, line in search.lines.items()}
        check_equal(drawn)
        return [self._trial("search", m, i, search.seed, own[i]) for m, own in drawn.items() for i in range(len(own))]

    def winning(self) -> list[Trial]:
        """The trial of every method that is best on validation, on every fresh seed; of a method that has one."""
        best = {m: study.best(tried, self.search.rule) for m, tried in self.tried().items()}
        return [
            self._trial("winner", m, trial.number, seed, trial.declaration)
            for m, trial in best.items() if trial is not None for seed in self.search.seeds
        ]  # fmt: skip

    def tried(self) -> dict[str, list[study.Trial]]:
        """The finished search, by method."""
        records = [self.kept(trial)[0] for trial in self._wanted.values() if trial.kind == "search"]
        found = study.parse(map(as_json, records), self.problem)
        return {m: [trial for trial in found if trial.method == m] for m in self.search.lines}

    def missing(self, wanted: Sequence[Trial]) -> list[Trial]:
        """Those of the trials that are not there, or were made from something else; all of them are wanted now."""
        self._wanted |= {trial.key: trial for trial in wanted}
        return [trial for trial in wanted if self._found(trial) is None]

    def kept(self, trial: Trial) -> tuple[Record, float]:
        """The line of a trial that is there, and the seconds that it took."""
        found = self._found(trial)
        assert found is not None
        return found

    def publish(self) -> None:
        """Everything that is wanted, where the report finds it."""
        kept = {key: self.kept(self._wanted[key]) for key in sorted(self._wanted)}
        seconds = {_name(key): spent for key, (_, spent) in kept.items()}
        path, text = DONE / f"{self.problem}.jsonl", "\n".join(as_json(record) for record, _ in kept.values())
        costs = {"environment": environment("cpu"), "seconds": seconds, "sha256": sha256_of(f"{text}\n")}
        write({
            study_costs(path): f"{json.dumps(costs, indent=1, sort_keys=True, allow_nan=False)}\n".encode(),
            path: f"{text}\n".encode(),
        })  # fmt: skip

    def _found(self, trial: Trial) -> tuple[Record, float] | None:
        record, _ = known = self._published.get(trial.key, ({}, 0.0))
        if record.get("fingerprint") == trial.run.fingerprint:
            return known
        result = finished(Path("runs") / trial.run.experiment.name, trial.run.seed, trial.run.fingerprint)
        return None if result is None else (_record(trial, result["history"]), result["cost"]["seconds"])

    def _trial(self, kind: str, method: str, number: int, seed: int, declaration: Mapping[str, Any]) -> Trial:
        # what a line records on the way costs up to a quarter of its time, and a study keeps none of it
        learner = {name: value for name, value in declaration.get("learner", {}).items() if name == "precision"}
        own = {key: value for key, value in declaration.items() if key != "learner"}
        line = dataclasses.replace(
            self.search.lines[method], name=f"study/{self.problem}/{method}-{number:02d}", seeds=(seed,),
            declaration=own | ({"learner": learner} if learner else {}),
        )  # fmt: skip
        data = joined(self._hashes)
        fingerprint = digest(parts_of(line, self._scale, data, None))
        return Trial(kind, method, number, Run(line, seed, self._scale, tuple(self._hashes), data, fingerprint, None))


def _record(trial: Trial, line: Mapping[str, Any]) -> Record:
    """What a study keeps of a history. A trial that diverged says so, and holds the epochs before."""
    epochs = [row for row in line["epochs"] if row["epoch"] != line["diverged"]]
    slim = {"epochs": epochs, "diagnostics": [], "trajectory": None, "layers": None}
    if trial.kind == "search":  # what is picked on validation is held against nothing on the test set
        slim["examples"] = None
    own = {
        "kind": trial.kind, "method": trial.method, "trial": trial.number, "fingerprint": trial.run.fingerprint,
        "experiment": f"{line['problem']}-{trial.method}", "failed": line["diverged"] is not None,
    }  # fmt: skip
    return {**line, **slim, **own}


def _published(problem: str) -> dict[Key, tuple[Record, float]]:
    """The lines of a study that Git has, with their seconds. Raises ValueError, naming the file, for a damaged one."""
    path = DONE / f"{problem}.jsonl"
    if not path.exists():
        return {}
    remedy = f"restore it (`git checkout {path}`) or remove it"
    text, costs = read_text(path, remedy), read_json(study_costs(path), remedy)
    with about(path, remedy):
        check_study(path, text, costs)
        records = [loads(line) for line in text.splitlines()]
        keys = [(r["kind"], r["method"], r["trial"], r["seed"]) for r in records]
    with about(study_costs(path), remedy):
        require("seconds", costs.get("seconds"), dict[str, float])
    return {
        k: (r, costs["seconds"][_name(k)]) for k, r in zip(keys, records, strict=True) if _name(k) in costs["seconds"]
    }


def _name(key: Key) -> str:
    return "/".join(map(str, key))
