"""Stage `train`: every run that is not there -> reports/history/<scale>/<family>/, reports/costs/<scale>/<family>/.

A run is one line of params.yaml on one seed. Its fingerprint, which stands beside its costs in Git, covers its
settings, data, evidence and the files that it executes: a run whose fingerprint is there is not made again, and a fresh
clone needs no data to know that. What is stale shares out all cores, one thread each: first what protocol.yaml
registered, seed by seed, then the longest. After every epoch a run leaves a checkpoint in runs/<line>/, at its end its
result, both by atomic rename: a killed training goes on where it was and ends in the same bytes. What is there of a
line is written at once. Problems whose data could not be had are left out, and keep what Git has of them.

Examples:
    python -m pipelines.train --dry                what would be trained, and why, at every scale that Git has runs of
    python -m pipelines.train --plan               in what order, and how long it takes (`make plan SCALE=overnight`)
    python -m pipelines.train pcgrad               the lines of one family, as `dvc repro train@pcgrad` does
    python -m pipelines.train multi_mnist-pcgrad   one line
    torchrun --nproc-per-node 4 -m pipelines.train multi_mnist-pcgrad      each run on four GPUs together
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.ledger.protocol import Protocol
from pipelines import _cluster, _missing, _ranks, _run
from pipelines._checkpoints import finished
from pipelines._device import asked_device, device_for
from pipelines._fingerprint import digest, parts_of
from pipelines._jobs import asked, refuse_ranks
from pipelines._look import look, told
from pipelines._params import SCALES, Experiment, Params, complain, load_or_exit
from pipelines._plan import Line, Plan, chosen
from pipelines._pool import EndedError, Tell, Work, places_on, share_out
from pipelines._progress import Progress
from pipelines._protocol import registered
from pipelines._records import Records, kept
from pipelines._run import RefusedError, Run
from pipelines._schedule import Schedule, check
from pipelines._tracking import Tracker
from pipelines._view import show
from pipelines._watchdog import drivers, end_with


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when everything is there, also a run that diverged; 2 for a wrong input or a full disk, 1 when a
    process ended before its run did, 130 after an interrupt."""
    arguments = _arguments(argv)
    if (ranked := _ranks.started()) and os.environ["RANK"] != "0":
        return _ranks.follow(train_one)
    try:
        _ranks.refuse(arguments) if ranked else refuse_ranks()
    except ValueError as error:
        return complain(error)
    params = load_or_exit(scale=arguments.scale)
    try:
        protocol = registered(Path())
        missing = _missing.read()
        _missing.refuse(missing, required=False)
        without = _missing.problems_without(missing)
        lines = chosen(arguments.names, params)
        device = asked_device(arguments.device, params.compute, params.scale)
        places = places_on(device, asked("JOBS", arguments.jobs), asked("PER_GPU", arguments.per_gpu))
        wanted = [line for line in lines if line.problem not in without]
        if skipped := [line for line in lines if line.problem in without]:
            names = ", ".join(sorted({line.problem for line in skipped}))
            print(f"left out, as their data could not be had: {told(len(skipped))} of {names}", flush=True)
        looked = arguments.dry or arguments.plan
        if looked or (params.scale == "paper" and not arguments.names):  # there nobody begins without having seen it
            look(arguments, params, protocol, places)
        if looked:
            return 0
        check(params, protocol)
        share: Callable[..., None] = share_out
        if address := arguments.cluster or os.environ.get(_cluster.VARIABLE):
            cluster = _cluster.Cluster(address)
            places, share = [cluster.device(arguments.device, params.compute, params.scale)], cluster.share_out
        if ranked:
            places, share = _ranks.begin(device, wanted), _ranks.share_out
        training = Training(params, places, protocol, share=share)
        end_with(drivers())
        signal.signal(signal.SIGTERM, _interrupt)
        count = training.bring(wanted)
        _ranks.end()
        training.tidy({line.family for line in lines if not arguments.names or line.family in arguments.names})
    except (ValueError, OSError) as error:
        return complain(error)
    except EndedError as error:
        print(f"error: {error} Finished runs and checkpoints are kept: the same command goes on.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was.", file=sys.stderr)
        return 130
    print(f"train: {told(len(wanted))}, {count} runs trained now")
    return 0


class Training:
    """All that is trained in this folder with one command."""

    def __init__(
        self, params: Params, places: Sequence[str], protocol: Protocol | None, work: Work | None = None,
        tracker: type[Tracker] | None = None, share: Callable[..., None] = share_out,
    ) -> None:  # fmt: skip
        self._params, self._places, self._work, self._tracker, self._share = params, places, work, tracker, share
        self._records = Records(Path(), params.scale)
        self._plan = Plan(params, self._records, places[0], protocol)
        self._schedule = Schedule(params, self._records, protocol)
        self._diverged: set[Run] = set()  # of which that was said

    def bring(self, experiments: Sequence[Experiment]) -> int:
        """Makes what is not there of these lines; how many runs were trained."""
        waves, count = self._schedule.waves(experiments), 0
        for i, wave in enumerate(waves):
            count += self._bring(wave, [line for later in waves[i + 1 :] for line in later])
        return count

    def _bring(self, experiments: Sequence[Experiment], later: Sequence[Experiment]) -> int:
        """One wave, of which every line is written as its runs are done."""
        lines = {experiment.name: self._plan.line(experiment) for experiment in experiments}
        self._plan.check_data(line.experiment.problem for line in lines.values() if line.stale)
        left = [run for line in lines.values() for run in line.stale if _result(run) is None]
        for line in lines.values():
            self._write(line)
        if not left:
            return 0
        expected = {run: self._schedule.seconds(run.experiment, run.seed) for run in left}
        left.sort(key=lambda run: self._schedule.key(run.experiment, run.seed, expected[run]))
        progress = Progress(expected, self._schedule.left(self._plan, later))
        make(left, self._places, progress, lambda run: self._write(lines[run.experiment.name]), self._work,
             self._tracker, self._share)  # fmt: skip
        return len(left)

    def tidy(self, families: set[str]) -> None:
        """Leaves in these families' folders, which there are in any case, only what params.yaml gives them."""
        known = {path for line in self._params.experiments.values() for path in self._paths(line)}
        for line in self._params.experiments.values():
            for path in self._paths(line) if line.family in families else []:
                path.parent.mkdir(parents=True, exist_ok=True)
                for own in path.parent.glob("[!.]*.json*"):
                    if own not in known:
                        own.unlink()

    def _paths(self, experiment: Experiment) -> list[Path]:
        return [self._records.history(experiment), self._records.costs(experiment)]

    def _write(self, line: Line) -> None:
        """What is there of a line, unless it stands in Git as it is: nobody waits for the last of its seeds."""
        results = {run: result for run in line.stale if (result := _result(run)) is not None}
        made = {run.seed: kept(result, run.fingerprint, line.parts) for run, result in results.items()}
        there = {run.seed for run in line.stale}
        runs = {s: record for s, record in line.found.items() if s in line.experiment.seeds and s not in there} | made
        if runs and (made or not line.tidy):
            self._records.write(line.experiment, runs)
        for run, result in results.items():
            if (epoch := result["history"]["diverged"]) is not None and run not in self._diverged:
                self._diverged.add(run)
                print(f"{run.name} diverged in epoch {epoch} and ended there.", file=sys.stderr)


def make(
    runs: Sequence[Run], places: Sequence[str], progress: Progress, done: Callable[[Run], object],
    work: Work | None = None, tracker: type[Tracker] | None = None, share: Callable[..., None] = share_out,
) -> None:  # fmt: skip
    """Trains runs side by side in their order; calls `done`, in this process, with each that has left its result."""
    told = (tracker or Tracker)(Path.cwd())

    def heard(run: Run, name: str, content: Any) -> None:
        if name in ("epoch", "seen"):
            progress.epoch(run, content["row"], content["of"])
        if name == "done":
            progress.done(run)
            done(run)
        elif name != "seen":
            show(told, run, name, content)

    try:
        share(runs, places[: len(runs)], work or train_one, heard)
    except BaseException:  # nobody waits long for a tracker after an interrupt
        told.close(patience=1.0)
        raise
    finally:
        progress.close()
    told.close()


def train_one(run: Run, place: str, tell: Tell) -> None:
    """One run on one place of the machine.

    It is refused where a file was edited since its fingerprint was taken: a result must never carry that of others.
    """

    def checked(name: str, content: Any) -> None:
        if name == "begin":  # by now all of its modules are imported
            parts = parts_of(run.experiment, run.scale, run.data_sha256, run.evidence)
            if digest(parts) != run.fingerprint.partition("@")[0]:
                raise RefusedError(f"{run.name}: its source files changed since: run the same command again.")
        tell(name, content)

    _run.train(run, device_for(run.experiment.declaration, place), checked)


def _result(run: Run) -> dict[str, Any] | None:
    return finished(Path("runs") / run.experiment.name, run.seed, run.fingerprint)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help="a family or a line of params.yaml (default: all)")
    parser.add_argument("--dry", action="store_true", help="train nothing: name what is stale, and why")
    parser.add_argument("--plan", action="store_true", help="train nothing: the order, and seconds done and left")
    parser.add_argument("--scale", choices=SCALES, help="with --dry or --plan (default: all that Git has runs of)")
    parser.add_argument("--jobs", help="runs at once (GRADSURGERY_JOBS; default: one per core, or as --per-gpu says)")
    parser.add_argument("--per-gpu", help="runs at once on every GPU (GRADSURGERY_PER_GPU; default: 1)")
    parser.add_argument("--cluster", help="address of a Dask scheduler, whose workers train (GRADSURGERY_CLUSTER)")
    parser.add_argument(
        "--device", help="auto, cpu, cuda or cuda:1 (GRADSURGERY_DEVICE; default: `compute` of params.yaml)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    from pipelines.train import main as entry  # workers find `train_one` by its module's name, which is not __main__

    sys.exit(entry())
