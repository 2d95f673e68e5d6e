"""The whole pipeline over all cores, with one bar and a summary: what `make repro` runs.

Fetch, prepare and the stale experiments are each shared out among one `dvc repro` per core, experiments that start from
another's evidence after all others; then comes a plain `dvc repro`, which evaluates, reports, and proves that nothing
was left out. A plain `dvc repro` alone gives the same.

A data set marked `optional` in params.yaml (no package registry carries it) may be missing at scale smoke: its problems
are then skipped, and the summary says so. At the other scales a data set that cannot be had ends the run.

At another scale than the one in params.yaml everything happens in workspaces/<scale>/, a copy of the tree that shares
DVC's cache, so that params.yaml and reports/ here stay as they are.

Examples:
    python -m pipelines.repro                 at the scale of params.yaml
    python -m pipelines.repro --scale smoke   every experiment end to end in minutes, in workspaces/smoke/
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from pipelines._params import CHECKED, SCALES, Params, complain, load, sha256_of
from pipelines._regression import means
from pipelines._summary import summary
from pipelines._warm import ADDRESS
from pipelines._workspace import cut_locks, restore_lock, workspace

ROOT = Path(__file__).resolve().parents[1]
RUNNING = re.compile(r"^Running stage '((?:pipelines/([^/']+)/dvc\.yaml:)?\w+@([^']+))'")
CHUNK = 4  # experiments per `dvc repro`: starting DVC costs about a second


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when everything is up to date at the end, 2 for a wrong input, 1 when a stage failed."""
    arguments = _arguments(argv)
    try:
        params = load(ROOT / "params.yaml")
    except ValueError as error:
        return complain(error)
    scale = arguments.scale or params.scale
    here = ROOT
    if scale != params.scale:
        here = workspace(ROOT, scale)
        params = load(here / "params.yaml")
    reproduction = Reproduction(here, params, arguments.jobs or psutil.cpu_count() or 1)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    try:
        trained = reproduction.run()
    except KeyboardInterrupt:
        reproduction.kill()
        print("\ninterrupted: the same command goes on where this one was.", file=sys.stderr)
        return 130
    except subprocess.CalledProcessError as error:
        reproduction.kill()
        print(f"error: `{' '.join(error.cmd)}` failed with exit code {error.returncode}.", file=sys.stderr)
        return 1
    if arguments.record:
        record(here, scale)
    outside = summary(ROOT, here, reproduction.params, trained, reproduction.skipped, time.monotonic() - started)
    return 1 if arguments.strict and outside else 0


class Reproduction:
    """One run of the pipeline in one folder, with all the processes it has started."""

    def __init__(self, root: Path, params: Params, jobs: int) -> None:
        self._root, self.params, self._jobs = root, params, jobs
        self.skipped: list[str] = []  # problems whose optional data set could not be had
        self._processes: list[subprocess.Popen[Any]] = []
        self._killed = False
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            # the sources of this folder, not those of the checkout that the package was installed from
            "PYTHONPATH": str(root / "src"),
            "GRADSURGERY_DRIVER_PID": str(os.getpid()),
            "GRADSURGERY_EVENTS": str(root / "mlflow.db.events"),
            "GRADSURGERY_JOBS": "1",
            ADDRESS: f"gradsurgery-{os.getpid()}",
            CHECKED: sha256_of(root / "params.yaml"),
            "MLFLOW_TRACKING_URI": os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}",
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "DO_NOT_TRACK": "true",
            "MPLBACKEND": "Agg",
        }

    def run(self) -> list[str]:
        """Brings everything up to date; the experiments that had to be trained.

        DVC is asked once what is stale, which takes it half a minute. What lies behind a stage that runs is a candidate
        too; DVC leaves out those that come out unchanged.
        """
        stale = set(self._stale())
        if missing := self._optional(stale):
            self._fetch(missing)
        fetch = sorted(name for name in stale if name.startswith("fetch@"))
        self._share_out("fetch", "data set", [name for name in fetch if name not in missing], 1)
        problems = {name: p for name, p in self.params.problems.items() if name not in self.skipped}
        touched = {
            name for name, problem in problems.items()
            if f"prepare@{name}" in stale or any(f"fetch@{source}" in fetch for source in problem.prepare.values())
        }  # fmt: skip
        self._share_out("prepare", "problem", [f"prepare@{name}" for name in problems if name in touched], 1)
        trained: list[str] = []
        candidates: dict[str, str] = {}  # experiment -> stage
        for kind in ("train", "sequel"):
            found = {
                e.name: e.stage for e in self.params.experiments.values()
                if f":{kind}@" in e.stage and e.problem in problems
                and (e.stage in stale or e.problem in touched or e.declaration.get("evidence") in candidates)
            }  # fmt: skip
            if found:
                size = max(1, min(CHUNK, len(found) // (2 * self._jobs)))
                ordered = [found[name] for name in longest_first(self._root, list(found))]
                with self._tracker(), self._warm():
                    ran = self._share_out("train", "experiment", ordered, size)
                trained += [name for name, stage in found.items() if stage in ran]
            candidates |= found
        if self.skipped:
            self._dvc(["repro", "-q", "-s", "evaluate", "report"], "evaluate and report")
        elif stale:
            self._dvc(["repro", "-q"], "evaluate and report")
        return trained

    def kill(self) -> None:
        """Ends every process group that is still there."""
        self._killed = True
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)  # DVC leaves its locks in order on this one
        _, stubborn = psutil.wait_procs([psutil.Process(p.pid) for p in self._processes if p.poll() is None], 10)
        for left in stubborn:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(left.pid, signal.SIGKILL)

    def _stale(self) -> list[str]:
        """Addresses of the stages that DVC would run."""
        for lock in cut_locks(self._root):
            restore_lock(self._root, lock)
        command = ["dvc", "status", "--json"]
        answer = subprocess.run(command, cwd=self._root, env=self._environment, capture_output=True, text=True)
        if answer.returncode:
            print(answer.stderr, file=sys.stderr)
            raise subprocess.CalledProcessError(answer.returncode, command)
        return list(json.loads(answer.stdout))

    def _optional(self, stale: set[str]) -> list[str]:
        """Stale fetch stages of data sets that this scale can do without."""
        if self.params.scale != "smoke":
            return []
        optional = {f"fetch@{name}" for name, block in self.params.datasets.items() if block.get("optional")}
        return sorted(optional & stale)

    def _fetch(self, stages: list[str]) -> None:
        for stage in stages:
            try:
                self._dvc(["repro", "-q", stage], stage)
            except subprocess.CalledProcessError:
                name = stage.removeprefix("fetch@")
                without = [p for p, block in self.params.problems.items() if name in block.prepare.values()]
                print(f"warning: skipping {', '.join(without)}: data set {name} could not be had (above)", flush=True)
                self.skipped += without

    def _share_out(self, doing: str, unit: str, stages: list[str], size: int) -> list[str]:
        """`dvc --wait-for-lock repro -s` on disjoint chunks: the one way to run DVC stages at once that holds.

        Returns the stages that ran; DVC skips what is up to date.
        """
        if not stages:
            return []
        # dealt out like cards, so that a chunk does not hold the longest ones
        count = -(-len(stages) // size)
        chunks = [stages[start::count] for start in range(count)]
        ran: list[str] = []
        failures: list[subprocess.CalledProcessError] = []
        with tqdm(total=len(stages), desc=doing, unit=unit, smoothing=0) as bar:
            workers = [
                threading.Thread(target=self._work, args=(chunks, bar, ran, failures)) for _ in range(self._jobs)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        if failures:
            raise failures[0]
        return ran

    def _work(
        self, chunks: list[list[str]], bar: Any, ran: list[str], failures: list[subprocess.CalledProcessError]
    ) -> None:
        while not failures:
            try:
                chunk = chunks.pop(0)
            except IndexError:
                return
            command = ["dvc", "--wait-for-lock", "repro", "-s", *chunk]
            process = self._start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            lines, seen, count = [], 0, 0
            for line in process.stdout or ():
                lines.append(line)
                if match := RUNNING.match(line):
                    bar.update(seen)
                    seen, count = 1, count + 1
                    ran.append(match[1])
                    bar.set_postfix_str("-".join(filter(None, match.groups()[1:])))
                elif " epoch " in line:
                    bar.set_postfix_str(line.strip())
            bar.update(seen + len(chunk) - count)  # those that DVC skipped count as done
            if process.wait():
                if not self._killed:
                    bar.write("".join(lines[-20:]), file=sys.stderr)
                failures.append(subprocess.CalledProcessError(process.returncode, command))

    def _dvc(self, arguments: list[str], doing: str) -> None:
        print(doing, flush=True)
        process = self._start(["dvc", *arguments])
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, ["dvc", *arguments])

    @contextlib.contextmanager
    def _tracker(self) -> Iterator[None]:
        """One process that sends all trainers' events; it ends when its standard input does."""
        command = [sys.executable, "-m", "pipelines._tracking", "--follow", self._environment["GRADSURGERY_EVENTS"]]
        Path(self._environment["GRADSURGERY_EVENTS"]).mkdir(exist_ok=True)
        process = self._start(command, stdin=subprocess.PIPE)
        yield
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            print("warning: the tracker did not take all events in time; training is not affected.", file=sys.stderr)
            process.kill()

    @contextlib.contextmanager
    def _warm(self) -> Iterator[None]:
        """One process that has imported torch and forks trainers; it ends when its standard input does."""
        if sys.platform != "linux":  # elsewhere a fork after importing torch is not safe
            yield
            return
        process = self._start(
            [sys.executable, "-m", "pipelines._warm", self._environment[ADDRESS]], stdin=subprocess.PIPE
        )
        yield
        assert process.stdin is not None
        process.stdin.close()
        process.wait()

    def _start(self, command: list[str], **streams: Any) -> subprocess.Popen[Any]:
        process = subprocess.Popen(
            command, cwd=self._root, env=self._environment, start_new_session=True, text=True, **streams
        )
        self._processes.append(process)
        return process


def record(here: Path, scale: str) -> None:
    """Keeps this run's means as what later runs at this scale are compared with."""
    fresh = json.loads((here / "reports/metrics.json").read_text(encoding="utf-8"))
    path = ROOT / "tests/regression" / f"{scale}.json"
    path.write_text(json.dumps(means(fresh), indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    print(f"recorded in {path}: commit it")


def longest_first(root: Path, experiments: Sequence[str]) -> list[str]:
    """By the recorded costs, so that no core is left alone with a long one at the end; unknown ones come first."""

    def seconds(name: str) -> float:
        path = root / "reports/costs" / f"{name}.json"
        if not path.exists():
            return float("inf")
        return sum(seed["seconds"] for seed in json.loads(path.read_text(encoding="utf-8"))["seeds"].values())

    return sorted(experiments, key=lambda name: (-seconds(name), name))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.repro", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=SCALES, help="default: the scale in params.yaml")
    parser.add_argument("--jobs", type=int, help="experiments at once (default: one per core)")
    parser.add_argument("--record", action="store_true", help="keep the fresh numbers in tests/regression/<scale>.json")
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a number lies outside its band")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
