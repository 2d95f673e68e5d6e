"""One sitting of `run` or `compare`: brings data, takes over committed runs, trains the rest in a folder of its own."""

import contextlib
import io
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.cli import FailedError
from gradsurgery.core.discovery import did_you_mean
from gradsurgery.evidence.history import Run as Finished
from gradsurgery.evidence.history import parse
from gradsurgery.foreign import Fault, told
from pipelines import fetch, prepare
from pipelines._arrays import hashes_of
from pipelines._device import asked_device
from pipelines._knock import mirror_folder
from pipelines._knock import told as absent
from pipelines._params import Params
from pipelines._plan import Plan
from pipelines._pool import EndedError, Tell, places_on
from pipelines._records import Records
from pipelines._run import RefusedError, Run
from pipelines._tracking import Tracker
from pipelines._workspace import prepared, share
from pipelines.commands import _imported
from pipelines.train import Training, train_one

DEVICES = ("auto", "cpu", "cuda")


class Sitting:
    """Lines of one problem in one folder; its `data` lead to those of the checkout.

    Args:
        root: the checkout, of which nothing that Git knows is written.
        out: the folder, in which runs, checkpoints, histories and costs lie as in a checkout.
        params: the lines.
        device, jobs: as of `pipelines.train`.
    """

    def __init__(self, root: Path, out: Path, params: Params, device: str | None, jobs: str | None) -> None:
        if device is not None and device.partition(":")[0] not in DEVICES:
            near = did_you_mean(device, DEVICES)
            raise ValueError(f"`--device` must be auto, cpu, cuda or cuda:<number>, found {device!r}{near}")
        self._root, self._out, self._params = root, out, params
        self.places = places_on(asked_device(device, params.compute, params.scale), jobs, None)
        self._records = Records(out, params.scale)

    def bring(self) -> dict[str, set[int]]:
        """Makes all runs that are not there; by line the seeds that were taken from the checkout.

        Raises:
            FailedError: a run failed, or data could not be had.
        """
        lines = self._params.experiments.values()
        mirror = mirror_folder()
        self._out.mkdir(parents=True, exist_ok=True)
        pinned = all(self._params.problems[line.problem].sha256 for line in lines)
        if not pinned:
            self._data(mirror)  # only the arrays themselves say what they are
        with contextlib.chdir(self._out):
            taken = {line.name: self._committed(line.name) for line in lines}
            plan = Plan(self._params, Records(Path(), self._params.scale), self.places[0])
            stale = any(plan.missing(line) for line in lines)
        if stale and pinned:
            self._data(mirror)
        if stale:
            self._train()
        return taken

    def histories(self, names: Iterable[str]) -> dict[str, list[Finished]]:
        """The runs of these lines, by line, of the seeds that are wanted."""
        found = {}
        for name in names:
            line = self._params.experiments[name]
            path = self._records.history(line)
            runs = parse(path.read_text(encoding="utf-8").splitlines(), str(path))
            found[name] = [run for run in runs if run.seed in line.seeds]
        return found

    def costs(self, names: Iterable[str]) -> dict[str, dict[int, Mapping[str, Any]]]:
        """What every seed of these lines cost."""
        every = self._params.experiments
        return {name: {s: run.cost for s, run in self._records.read(every[name]).items()} for name in names}

    def place(self, names: Sequence[str]) -> list[Path]:
        """Where the histories of these lines lie."""
        return [self._records.history(self._params.experiments[name]) for name in names]

    def _committed(self, name: str) -> set[int]:
        """Takes over the checkout's runs of a line that are what training would give now; their seeds."""
        line, theirs = self._params.experiments[name], Records(self._root, self._params.scale)
        plan, ours = Plan(self._params, theirs, self.places[0]), Records(Path(), self._params.scale)
        source = line.declaration.get("evidence")
        if not plan.begun(line) or (source and not plan.begun(self._params.experiment(source))):
            return set()
        there = plan.line(line)
        stale = {run.seed for run in there.stale}
        good = {s: run for s, run in there.found.items() if s in line.seeds and s not in stale}
        if good:
            ours.write(line, {**ours.read(line), **good})
        return set(good)

    def _data(self, mirror: Path | None) -> None:
        """Arrays of the problem, from the checkout or a workspace of it, or else made there; linked from here."""
        [name] = {line.problem for line in self._params.experiments.values()}
        problem, folder = self._params.problems[name], prepared(self._root, name)
        if not (problem.sha256 and folder.is_dir() and _is_right(folder, problem.sha256)):
            with contextlib.chdir(self._root):
                share(self._root, self._root, "data/raw")
                wanted = {source: self._params.datasets[source] for source in problem.sources}
                for dataset, reasons in fetch.bring(wanted, mirror).items():
                    raise FailedError(absent(dataset, wanted[dataset], reasons))
                print(f"preparing the arrays of {name}", flush=True)
                with contextlib.redirect_stdout(io.StringIO()):  # a hash for each of them
                    prepare.build_once([name], self._params)
            folder = self._root / "data/processed" / name
        link = self._out / "data/processed" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.resolve() != folder.resolve():
            link.unlink(missing_ok=True)
            link.symlink_to(folder.resolve(), target_is_directory=True)

    def _train(self) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        with contextlib.chdir(self._out):
            try:
                training = Training(self._params, self.places, None, work, Untracked)
                training.bring(list(self._params.experiments.values()))
            except (Fault, EndedError) as error:
                raise FailedError(f"{error} What is finished is kept in {self._out}.") from None


class Untracked(Tracker):
    """Nobody is told: MLflow takes seconds to start, and the folder holds all that it would show."""

    def __init__(self, root: Path) -> None: ...
    def _put(self, *event: Any) -> None: ...
    def close(self, patience: float = 0.0) -> None: ...


def work(run: Run, place: str, tell: Tell) -> None:
    """`train_one`, for lines whose method is the user's own too. Raises Fault for what that one did."""
    _imported.bring()
    target = run.experiment.declaration["aggregator"].get("target")
    try:
        train_one(run, place, tell)
    except (Fault, RefusedError, OSError):
        raise
    except Exception as error:
        if target is None:
            raise
        raise Fault(
            f"`{target}` must return a direction at every step of seed {run.seed}, found {told(error)}."
        ) from None


def _is_right(folder: Path, pins: Mapping[str, str]) -> bool:
    try:
        return bool(hashes_of(folder, pins))
    except ValueError:
        return False


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def folder(asked: str | None, root: Path, name: str) -> Path:
    """`--out`, or a folder of the checkout that Git does not know."""
    return Path(asked).resolve() if asked else root / "workspaces" / "cli" / name


def cores() -> str | None:
    """GRADSURGERY_JOBS, as every stage reads it."""
    return os.environ.get("GRADSURGERY_JOBS") or None
