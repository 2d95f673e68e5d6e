"""One run, which is one line of params.yaml on one seed: from its checkpoint to its end.

Part of every run's fingerprint, and therefore nothing but what a run goes through: whatever is told of it on the way
goes to `tell`.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gradsurgery.core.learner import Learner
from gradsurgery.experiment import build_learner, history
from pipelines._arrays import load
from pipelines._checkpoints import keep, save
from pipelines._costs import cost_of, environment
from pipelines._equal_states import check_equal
from pipelines._params import Experiment
from pipelines._ranks import leads, resumed

Tell = Callable[[str, dict[str, Any]], None]  # the name of an event, and its contents


class RefusedError(ValueError):
    """Why a run cannot be made at all: said once, before any work."""


@dataclasses.dataclass(frozen=True, eq=False)  # a run is itself: what it holds cannot be hashed
class Run:
    """What is to be made.

    Attributes:
        arrays, data_sha256: names of all arrays, and one hash of them.
        protocol: sha256 of the one that registered this run before it began; None for an exploratory run.
    """

    experiment: Experiment
    seed: int
    scale: str
    arrays: tuple[str, ...]
    data_sha256: str
    fingerprint: str
    evidence: Mapping[str, Any] | None
    protocol: str | None = None

    @property
    def name(self) -> str:
        return f"{self.experiment.name} seed {self.seed}"


def train(run: Run, device: str, tell: Tell) -> None:
    """Trains on a device to the end, the last epoch or the one that diverged; the result goes to runs/<experiment>/.

    Of several processes that train the run together the first one alone writes.
    """
    experiment, folder = run.experiment, Path("runs") / run.experiment.name
    checkpoint = folder / f"seed-{run.seed}.pt"
    data = Path("data/processed") / experiment.problem
    make = functools.partial(begin, experiment, data, run.arrays, run.seed, device, run.evidence)
    begun = f"{run.fingerprint} {run.protocol}"  # what was begun under another protocol begins anew
    learner, spent = resumed(checkpoint, begun, make)
    machine = environment(device)
    tell("begin", {"environment": machine})
    logged = len(learner.diagnostics)
    while len(learner.epochs) < learner.problem.epochs and learner.diverged is None:
        started = time.perf_counter()
        row = learner.epoch()
        spent += time.perf_counter() - started
        check_equal(learner)
        if leads():
            save(checkpoint, begun, spent, learner)
        done = {"row": row, "of": learner.problem.epochs, "diagnostics": learner.diagnostics[logged:]}
        tell("epoch", done)
        logged = len(learner.diagnostics)
    line = history(
        learner, experiment.declaration, experiment=experiment.name, seed=run.seed, scale=run.scale,
        data_sha256=run.data_sha256, **labels(experiment),
    )  # fmt: skip
    line["protocol"] = run.protocol
    cost = cost_of(learner, spent)
    if leads():
        keep(folder, run.seed, run.fingerprint, {"history": line, "cost": cost, "environment": machine})
    tell("end", {"history": line, "cost": cost})


def begin(
    experiment: Experiment, folder: Path, names: Iterable[str], seed: int, device: str = "cpu",
    evidence: Mapping[str, Any] | None = None,
) -> Learner:  # fmt: skip
    """The learner of one seed before its first epoch, on the arrays in `folder`.

    Raises:
        RefusedError: they and the line's settings do not go together.
    """
    try:
        return build_learner(experiment.declaration, load(folder, names), seed, device, evidence=evidence)
    except ValueError as error:
        raise RefusedError(f"{experiment.name}: {error}") from None
    except (LookupError, TypeError) as error:  # what arrays of another make-up do to the problem that takes them
        raise RefusedError(
            f"{folder} must hold the arrays of {experiment.problem}, found {type(error).__name__}: "
            f"{str(error).splitlines()[0]}: remove it and run `python -m pipelines.prepare {folder.name}`."
        ) from None


def labels(experiment: Experiment) -> dict[str, Any]:
    """What a history says of its line that changes no number, and may therefore be written anew without a run."""
    return {"track": experiment.track, "role": experiment.role.record(), "family": experiment.family}
