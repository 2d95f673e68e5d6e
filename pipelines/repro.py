"""The whole pipeline over all cores, with one bar and a summary: what `make repro` runs.

Everything happens in workspaces/<scale>/, a copy of the tree that shares DVC's cache, so that no file that Git knows is
touched, whenever the run is interrupted. `--record` puts a complete run's results into the checkout.

All sources of the data sets that are not there yet are asked first, side by side, in seconds. A data set that cannot be
had costs its own problems and no others: they keep their committed numbers, marked in the report, and the summary ends
with them. Fetch, prepare and the stale experiments are each shared out among one `dvc repro` per core, experiments that
start from another's evidence after all others; then comes a plain `dvc repro`, which evaluates, reports, and proves
that nothing was left out. A plain `dvc repro` in the checkout gives the same numbers there, in place.

Examples:
    python -m pipelines.repro                 at the scale of params.yaml
    python -m pipelines.repro --scale smoke   every experiment end to end in minutes
    python -m pipelines.repro --record        the same again, and the results into reports/ and dvc.lock here
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gradsurgery.evidence.costs import parse as parse_costs
from pipelines import fetch
from pipelines._device import asked_device
from pipelines._files import read_text
from pipelines._jobs import refuse_ranks
from pipelines._knock import mirror_folder, told, unreachable
from pipelines._params import CHECKED, SCALES, Params, complain, load, sha256_of
from pipelines._places import places
from pipelines._sources import MIRROR
from pipelines._store import uri
from pipelines._summary import Missing, summary
from pipelines._warm import ADDRESS
from pipelines._workers import Place, Workers
from pipelines._workspace import SKIPPED, workspace

ROOT = Path(__file__).resolve().parents[1]
CHUNK = 4  # experiments per `dvc repro`: starting DVC costs about a second


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when all that can be had is up to date at the end, 2 for a wrong input, 1 when a stage failed."""
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    reproduction = None
    try:
        refuse_ranks()
        committed = load(ROOT / "params.yaml")
        scale = arguments.scale or committed.scale
        device = asked_device(None, committed.compute, scale)
        workers = places(device, arguments.jobs, arguments.per_gpu)
        mirror = mirror_folder()
        here = workspace(ROOT, scale)
        params = committed if scale == committed.scale else load(here / "params.yaml")
        reproduction = Reproduction(here, params, workers, mirror)
        for bring in (reproduction.ask, reproduction.fetch):
            bring()
            if reproduction.missing and arguments.require_data:
                return _required(reproduction.missing)
        trained = reproduction.run()
    except ValueError as error:
        return complain(error)
    except KeyboardInterrupt:
        if reproduction is not None:
            reproduction.kill()
        print("\ninterrupted: the same command goes on where this one was.", file=sys.stderr)
        return 130
    except subprocess.CalledProcessError as error:
        if reproduction is not None:
            reproduction.kill()
        print(f"error: `{' '.join(error.cmd)}` failed with exit code {error.returncode}.", file=sys.stderr)
        return 1
    own = scale == committed.scale
    missing, seconds = reproduction.missing, time.monotonic() - started
    outside = summary(ROOT, here, params, trained, missing, own, seconds)
    if arguments.record and missing:
        names = ", ".join(one.dataset for one in missing)
        print(f"error: `--record` needs a complete run, found none of the data set {names}.", file=sys.stderr)
        return 1
    if arguments.record:
        from pipelines._publish import publish, record  # brings what draws figures: seconds

        print(publish(here, ROOT) if own else record(here, ROOT, scale))
    return 1 if arguments.strict and outside else 0


class Reproduction:
    """One run of the pipeline in one folder: `ask`, `fetch`, `run`. `missing` are the data sets that cannot be had."""

    def __init__(self, root: Path, params: Params, workers: Sequence[Place], mirror: Path | None) -> None:
        self._root, self._params, self._mirror = root, params, mirror
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            # the sources of this folder, not those of the checkout that the package was installed from
            "PYTHONPATH": str(root / "src"),
            "GRADSURGERY_DRIVER_PID": str(os.getpid()),
            "GRADSURGERY_EVENTS": str(root / "mlflow.db.events"),
            "GRADSURGERY_JOBS": "1",
            CHECKED: sha256_of(root / "params.yaml"),
            "MLFLOW_TRACKING_URI": uri(ROOT),
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "DO_NOT_TRACK": "true",
            "MPLBACKEND": "Agg",
        }
        if mirror is not None:
            environment[MIRROR] = str(mirror)  # whole: stages run in another folder
        if not any(workers):  # on a CPU, where workers differ in nothing
            environment[ADDRESS] = f"gradsurgery-{os.getpid()}"
        self._workers = Workers(root, environment, workers)
        self.missing: list[Missing] = []
        self._stale: set[str] = set()
        self._fetched: list[str] = []

    def kill(self) -> None:
        """Ends every process that was started."""
        self._workers.kill()

    def ask(self) -> None:
        """Which of the data sets that are not there could be had: seconds, and nothing is downloaded."""
        raw = self._root / "data/raw"
        absent = {name: block for name, block in self._params.datasets.items() if not (raw / name).is_dir()}
        for name, reasons in unreachable(absent, self._mirror).items():
            self._miss(name, reasons)

    def fetch(self) -> None:
        """All data sets at once. DVC is asked once what is stale, which takes it half a minute.

        A source that answered may still come to nothing; what cannot be written ends the run.
        """
        self._forget_strangers()
        self._stale = set(json.loads(self._workers.ask(["dvc", "status", "--json"])))
        out_of_reach = {f"fetch@{one.dataset}" for one in self.missing}
        self._fetched = sorted(stage for stage in self._stale - out_of_reach if stage.startswith("fetch@"))
        _, failures = self._workers.share_out("fetch", "data set", self._fetched, 1, side_by_side=True)
        for failure in failures:
            if f"exited with {fetch.ABSENT}" not in failure.output:
                print(failure.output, file=sys.stderr)
                raise failure.error()
            lines = failure.output.partition("no source gave the data set")[2].partition("By hand:")[0].splitlines()[1:]
            self._miss(failure.stages[0].removeprefix("fetch@"), [line.strip() for line in lines if line.strip()])

    def run(self) -> list[str]:
        """Brings everything up to date that can be; the experiments that had to be trained.

        What lies behind a stage that runs is a candidate too; DVC leaves out those that come out unchanged.
        """
        skipped = {problem for one in self.missing for problem in one.problems}
        problems = {name: p for name, p in self._params.problems.items() if name not in skipped}
        touched = {
            name for name, problem in problems.items()
            if f"prepare@{name}" in self._stale
            or any(f"fetch@{source}" in self._fetched for source in problem.prepare.values())
        }  # fmt: skip
        self._share_out("prepare", "problem", [f"prepare@{name}" for name in problems if name in touched], 1)
        trained: list[str] = []
        candidates: dict[str, str] = {}  # experiment -> stage
        for kind in ("train", "sequel"):
            found = {
                e.name: e.stage for e in self._params.experiments.values()
                if f":{kind}@" in e.stage and e.problem in problems
                and (e.stage in self._stale or e.problem in touched or e.declaration.get("evidence") in candidates)
            }  # fmt: skip
            if found:
                size = max(1, min(CHUNK, len(found) // (2 * self._workers.jobs)))
                ordered = [found[name] for name in longest_first(self._root, list(found))]
                with self._workers.tracker(), self._workers.warm():
                    ran = self._share_out("train", "experiment", ordered, size)
                trained += [name for name, stage in found.items() if stage in ran]
            candidates |= found
        marks_changed = self._mark(sorted(skipped))
        if self.missing:
            self._workers.dvc(["repro", "-q", "-s", "evaluate", "report"], "evaluate and report")
        elif self._stale or marks_changed:
            self._workers.dvc(["repro", "-q"], "evaluate and report")
        return trained

    def _miss(self, name: str, reasons: Sequence[str]) -> None:
        without = [p for p, block in self._params.problems.items() if name in block.prepare.values()]
        print(told(name, self._params.datasets[name], reasons), file=sys.stderr)
        print(f"warning: skipping {', '.join(without) or 'nothing'}: the data set {name} could not be had.",
              file=sys.stderr, flush=True)  # fmt: skip
        lines = [e.name for e in self._params.experiments.values() if e.problem in without]
        self.missing.append(Missing(name, tuple(reasons), tuple(without), tuple(lines)))

    def _share_out(self, doing: str, unit: str, stages: Sequence[str], size: int) -> list[str]:
        ran, failures = self._workers.share_out(doing, unit, stages, size)
        if failures:
            raise failures[0].error()
        return ran

    def _forget_strangers(self) -> None:
        """Histories and costs of experiments that params.yaml no longer holds."""
        for folder in ("reports/history", "reports/costs"):
            for path in (self._root / folder).glob("[!.]*.json*"):
                if path.stem not in self._params.experiments:
                    path.unlink()

    def _mark(self, skipped: Sequence[str]) -> bool:
        """Tells the report which problems were not rerun; a report with other marks is no longer up to date."""
        path = self._root / SKIPPED
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        if before == list(skipped):
            return False
        (self._root / "reports/index.html").unlink(missing_ok=True)
        path.write_text(json.dumps(skipped), encoding="utf-8")
        return True


def longest_first(root: Path, experiments: Sequence[str]) -> list[str]:
    """By the recorded costs, so that no core is left alone with a long one at the end; unknown ones come first."""

    def seconds(name: str) -> float:
        path = root / "reports/costs" / f"{name}.json"
        try:
            return float(sum(seed["seconds"] for seed in parse_costs(read_text(path, ""), name)["seeds"].values()))
        except ValueError:  # none, or damaged: `report` names it, unless the training makes it again before
            return float("inf")

    return sorted(experiments, key=lambda name: (-seconds(name), name))


def _required(missing: Sequence[Missing]) -> int:
    names = ", ".join(one.dataset for one in missing)
    print(f"error: `--require-data` needs every data set, found none of {names} (reasons above).", file=sys.stderr)
    return 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.repro", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=SCALES, help="default: the scale in params.yaml")
    parser.add_argument("--jobs", help="experiments at once (default: one per core, or as --per-gpu says)")
    parser.add_argument("--per-gpu", help="experiments at once on every GPU, with GRADSURGERY_DEVICE=cuda "
                        "(default: 1)")  # fmt: skip
    parser.add_argument("--require-data", action="store_true", help="exit code 1 when a data set cannot be had")
    parser.add_argument("--record", action="store_true", help="keep a complete run's results in the checkout, for a "
                        "commit (of another scale than that of params.yaml: its numbers)")  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a number lies outside its band")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
