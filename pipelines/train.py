"""Stage `train`: all seeds of one experiment -> reports/history/<experiment>.jsonl, reports/costs/<experiment>.json.

Seeds run in parallel, one torch thread each, which is 8 to 22 % faster than several threads on one seed. After every
epoch a seed writes a checkpoint into runs/<experiment>/, and a finished seed its result; both appear by atomic rename
and carry a fingerprint of everything that can change a number: the declaration, the source files it uses, the data.
A killed training therefore goes on where it was and ends in the same bytes, and a changed one starts anew.

Examples:
    python -m pipelines.train multi_mnist-pcgrad              all seeds at the scale that params.yaml names
    python -m pipelines.train cagrad_toy-cagrad-c0_5 --jobs 1  one after another, in this process
"""

import sys

from pipelines._warm import handed_over

if __name__ == "__main__" and (code := handed_over(sys.argv[1:])) is not None:
    sys.exit(code)  # before torch is imported

import argparse
import dataclasses
import functools
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import psutil

import gradsurgery
from gradsurgery.core.learner import Learner
from gradsurgery.evidence import history as history_file
from gradsurgery.experiment import build_learner, evidence_of, history
from pipelines._arrays import hashes_of, load
from pipelines._checkpoints import Result, finished, keep, resume, save
from pipelines._costs import cost_of, environment
from pipelines._device import asked_device, device_for, fingerprint_on
from pipelines._files import as_json, named, read_text, replace
from pipelines._jobs import jobs, refuse_ranks, whole
from pipelines._params import Experiment, complain, load_or_exit
from pipelines._progress import Progress
from pipelines._tracking import Tracker
from pipelines._watchdog import drivers, end_with


class RefusedError(ValueError):
    """Why a seed cannot be trained at all: said once, before any work."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What all seeds of one experiment have in common."""

    experiment: Experiment
    scale: str
    hashes: Mapping[str, str]
    fingerprint: str
    device: str
    evidence: Mapping[str, Any] | None


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the history is written, also of a run that diverged; 2 for a wrong input or a full disk."""
    arguments = _arguments(argv)
    try:
        refuse_ranks()
    except ValueError as error:
        return complain(error)
    params = load_or_exit()
    try:
        experiment = params.experiment(arguments.experiment)
        device = device_for(experiment.declaration, asked_device(arguments.device, params.compute, params.scale))
        at_once = _jobs(arguments.jobs, device)
        hashes = hashes_of(Path("data/processed") / experiment.problem, params.problems[experiment.problem].sha256)
        evidence = evidence_for(experiment)
    except ValueError as error:
        return complain(error)
    end_with(drivers())
    fingerprint = fingerprint_on(fingerprint_of(experiment, params.scale, hashes, evidence), device)
    try:
        train_all(Job(experiment, params.scale, hashes, fingerprint, device, evidence), at_once)
    except (RefusedError, OSError) as error:
        return complain(error)
    return 0


def train_all(job: Job, at_once: int) -> None:
    """Trains the seeds that are not finished, so many at once, and writes the experiment's history and costs."""
    experiment = job.experiment
    run = Path("runs") / experiment.name
    run.mkdir(parents=True, exist_ok=True)
    left = [seed for seed in experiment.seeds if finished(run, seed, job.fingerprint) is None]
    if min(len(left), at_once) > 1:
        trainer = os.getpid()
        tasks = [joblib.delayed(train_in_worker)(trainer, place, seed, job) for place, seed in enumerate(left)]
        joblib.Parallel(n_jobs=min(len(left), at_once), backend="loky")(tasks)
    elif left:
        tracker = Tracker(Path.cwd())
        for seed in left:
            train(0, seed, job, tracker)
        tracker.close()
    results = {seed: finished(run, seed, job.fingerprint) for seed in experiment.seeds}
    write_reports(experiment, {seed: result for seed, result in results.items() if result is not None})
    for seed, result in results.items():
        if result is not None and (epoch := result["history"]["diverged"]) is not None:
            print(f"{experiment.name} seed {seed} diverged in epoch {epoch} and ended there.", file=sys.stderr)


def train_in_worker(trainer: int, place: int, seed: int, job: Job) -> None:
    """`train` in a process of its own, which ends when the process that started it does."""
    end_with([psutil.Process(trainer), *drivers()])
    tracker = Tracker(Path.cwd())
    train(place, seed, job, tracker)
    tracker.close()


def train(place: int, seed: int, job: Job, tracker: Tracker) -> None:
    """Trains one seed to its end, from its checkpoint if there is one, and leaves its result in runs/<experiment>/.

    The end is the last epoch, or the one that diverged.
    """
    experiment = job.experiment
    run = Path("runs") / experiment.name
    folder = Path("data/processed") / experiment.problem
    make = functools.partial(begin, experiment, folder, job.hashes, seed, job.device, job.evidence)
    learner, spent = resume(run / f"seed-{seed}.pt", job.fingerprint, make)
    tags = {
        "problem": experiment.problem,
        "method": experiment.name.removeprefix(f"{experiment.problem}-"),
        "scale": job.scale,
        "track": experiment.track,
        "stage": "train",
        "fingerprint": job.fingerprint,
    }
    facts = {"data_sha256": joined(job.hashes), "environment": environment(job.device)}
    tracker.begin(experiment.name, seed, tags, {**experiment.declaration, "seed": seed, **facts})
    logged = len(learner.diagnostics)
    with Progress(f"{experiment.name} seed {seed}", learner.problem.epochs, len(learner.epochs), place) as progress:
        while len(learner.epochs) < learner.problem.epochs and learner.diverged is None:
            started = time.perf_counter()
            row = learner.epoch(progress.step)
            spent += time.perf_counter() - started
            save(run / f"seed-{seed}.pt", job.fingerprint, spent, learner)
            progress.epoch(row)
            numbers = {name: value for name, value in row.items() if name != "epoch"}
            conflict = [
                (int(r["step"]), {n: v for n, v in r.items() if n != "step"}) for r in learner.diagnostics[logged:]
            ]
            tracker.log(experiment.name, seed, [(int(row["epoch"]), numbers), *conflict])
            logged = len(learner.diagnostics)
    line = history(
        learner, experiment.declaration, experiment=experiment.name, seed=seed, scale=job.scale, track=experiment.track,
        role=experiment.role.record(), family=experiment.family, data_sha256=joined(job.hashes),
    )  # fmt: skip
    cost = cost_of(learner, spent)
    keep(run, seed, job.fingerprint, {"history": line, "cost": cost, "environment": environment(job.device)})
    tracker.log(experiment.name, seed, [(len(learner.epochs), {f"cost.{name}": v for name, v in cost.items()})])
    tracker.end(experiment.name, seed, {"history.json": line, "config.json": experiment.declaration})


def begin(
    experiment: Experiment, folder: Path, names: Iterable[str], seed: int, device: str = "cpu",
    evidence: Mapping[str, Any] | None = None,
) -> Learner:  # fmt: skip
    """The learner of one seed before its first epoch, on the arrays in `folder`.

    Raises:
        RefusedError: they and the experiment's settings do not go together.
    """
    try:
        return build_learner(experiment.declaration, load(folder, names), seed, device, evidence=evidence)
    except ValueError as error:
        raise RefusedError(f"{experiment.name}: {error}") from None
    except (LookupError, TypeError) as error:  # what arrays of another make-up do to the problem that takes them
        raise RefusedError(
            f"{folder} must hold the arrays of {experiment.problem}, found {type(error).__name__}: "
            f"{str(error).splitlines()[0]}: remove it and run `dvc repro prepare@{folder.name}`."
        ) from None


def evidence_for(experiment: Experiment) -> dict[str, Any] | None:
    """The layer scores that an earlier experiment left, where the declaration names one."""
    name = experiment.declaration.get("evidence")
    if name is None:
        return None
    path = Path("reports/history") / f"{name}.jsonl"
    remedy = f"run `python -m pipelines.train {name}` first"
    if not path.exists():
        raise ValueError(f"`evidence` must have a history, found no {path}: {remedy}.")
    runs = history_file.parse(read_text(path, remedy).splitlines(), str(path))
    try:
        return evidence_of([{"layers": run.layers, "diverged": run.diverged} for run in runs])
    except ValueError as error:
        raise ValueError(named(path, error, remedy)) from None


def fingerprint_of(
    experiment: Experiment, scale: str, hashes: Mapping[str, str], evidence: Mapping[str, Any] | None
) -> str:
    """One hash of all that can change a number of this experiment: declaration, scale, data, evidence and sources."""
    digest = hashlib.sha256(as_json([experiment.declaration, scale, dict(hashes), evidence]).encode())
    for source in sources(experiment):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


def sources(experiment: Experiment) -> list[Path]:
    """The files that can change a number of this experiment: those that dvc.yaml lists for its stage, and no others."""
    declared = experiment.declaration
    library = Path(gradsurgery.__file__).parent
    parts = [("problems", declared["module"]), ("networks", declared["settings"]["network"]["name"])]
    parts += [(f"{slot}s", declared[slot]["name"]) for slot in ("transform", "balancer", "rule", "aggregator")]
    whole = [Path(__file__).resolve(), library / "experiment.py", *sorted((library / "core").glob("*.py"))]
    return whole + [library / kind / f"{name}.py" for kind, name in parts]


def joined(hashes: Mapping[str, str]) -> str:
    """One hash for a set of arrays."""
    return hashlib.sha256(as_json(dict(hashes)).encode()).hexdigest()


def write_reports(experiment: Experiment, results: Mapping[int, Result]) -> None:
    """History and costs of all seeds; the history last, as it is what the next stage waits for."""
    costs = {
        "experiment": experiment.name,
        "environment": next(iter(results.values()))["environment"],
        "seeds": {str(seed): result["cost"] for seed, result in results.items()},
    }
    replace(
        Path("reports/costs") / f"{experiment.name}.json", json.dumps(costs, indent=1, sort_keys=True, allow_nan=False)
    )
    lines = [as_json(results[seed]["history"]) for seed in sorted(results)]
    replace(Path("reports/history") / f"{experiment.name}.jsonl", "\n".join(lines))


def _jobs(asked: str | None, device: str) -> int:
    if asked is None and device != "cpu":
        return 1
    if asked is None and (told := os.environ.get("GRADSURGERY_JOBS")):
        return whole("GRADSURGERY_JOBS", told)
    return jobs(asked)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", help="a line of `experiments` in params.yaml")
    parser.add_argument("--jobs", help="seeds at once (GRADSURGERY_JOBS; default: one per core, 1 on a GPU)")
    parser.add_argument(
        "--device", help="auto, cpu, cuda or cuda:1 (GRADSURGERY_DEVICE; default: `compute` of params.yaml)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
