"""The processes of one run: chunks of DVC stages shared out over cores or GPUs, and what serves the trainers."""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from pipelines._warm import ADDRESS

RUNNING = re.compile(r"^Running stage '((?:pipelines/([^/']+)/dvc\.yaml:)?\w+@([^']+))'")
Place = Mapping[str, str]  # what the environment of one worker says beside that of all


@dataclasses.dataclass(frozen=True)
class Failure:
    """A chunk of stages that did not come through, and what was printed."""

    stages: Sequence[str]
    command: Sequence[str]
    code: int
    output: str

    def error(self) -> subprocess.CalledProcessError:
        return subprocess.CalledProcessError(self.code, list(self.command))


class Workers:
    """Starts processes in one folder, each in a session of its own, and ends them all on demand.

    Args:
        root: the folder that they work in.
        environment: of all of them.
        places: one entry for every stage that may run at once.
    """

    def __init__(self, root: Path, environment: Mapping[str, str], places: Sequence[Place]) -> None:
        self._root, self._environment, self._places = root, environment, places
        self._processes: list[subprocess.Popen[Any]] = []
        self._killed = False

    @property
    def jobs(self) -> int:
        return len(self._places)

    def share_out(
        self, doing: str, unit: str, stages: Sequence[str], size: int, side_by_side: bool = False
    ) -> tuple[list[str], list[Failure]]:
        """`dvc --wait-for-lock repro -s` on disjoint chunks: the one way to run DVC stages at once that holds.

        Args:
            doing: what the bar says.
            unit: what the bar counts.
            stages: addresses of the stages.
            size: of a chunk.
            side_by_side: all chunks at once, and a failure stops none of them: for stages that mostly wait.

        Returns:
            The stages that ran, as DVC skips what is up to date, and what failed.
        """
        ran: list[str] = []
        failures: list[Failure] = []
        if not stages:
            return ran, failures
        # dealt out like cards, so that a chunk does not hold the longest ones
        count = -(-len(stages) // size)
        chunks = [list(stages[start::count]) for start in range(count)]
        places = [{}] * count if side_by_side else self._places[:count]
        with tqdm(total=len(stages), desc=doing, unit=unit, smoothing=0) as bar:
            workers = [
                threading.Thread(target=self._work, args=(chunks, place, bar, ran, failures, side_by_side))
                for place in places
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        return ran, failures

    def dvc(self, arguments: Sequence[str], doing: str) -> None:
        """One DVC command, whose output is shown. Raises CalledProcessError when it fails."""
        print(doing, flush=True)
        process = self._start(["dvc", *arguments])
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, ["dvc", *arguments])

    def ask(self, command: Sequence[str]) -> str:
        """What a command prints. Raises CalledProcessError, after showing why, when it fails."""
        answer = subprocess.run(command, cwd=self._root, env=self._environment, capture_output=True, text=True)
        if answer.returncode:
            print(answer.stderr, file=sys.stderr)
            raise subprocess.CalledProcessError(answer.returncode, list(command))
        return answer.stdout

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

    @contextlib.contextmanager
    def tracker(self) -> Iterator[None]:
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
    def warm(self) -> Iterator[None]:
        """One process that has imported torch and forks trainers; it ends when its standard input does.

        Not off Linux, where a fork after importing torch is not safe, nor where the environment gives no address: on
        GPUs every trainer has an environment of its own, and CUDA does not outlive a fork.
        """
        if sys.platform != "linux" or ADDRESS not in self._environment:
            yield
            return
        process = self._start(
            [sys.executable, "-m", "pipelines._warm", self._environment[ADDRESS]], stdin=subprocess.PIPE
        )
        yield
        assert process.stdin is not None
        process.stdin.close()
        process.wait()

    def _work(
        self, chunks: list[list[str]], place: Place, bar: Any, ran: list[str], failures: list[Failure], go_on: bool
    ) -> None:
        while not self._killed and (go_on or not failures):
            try:
                chunk = chunks.pop(0)
            except IndexError:
                return
            command = ["dvc", "--wait-for-lock", "repro", "-s", *chunk]
            lines, seen, count = [], 0, 0
            with self._start(command, place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
                for line in process.stdout or ():
                    lines.append(line)
                    if match := RUNNING.match(line):
                        bar.update(seen)
                        seen, count = 1, count + 1
                        ran.append(match[1])
                        bar.set_postfix_str("-".join(filter(None, match.groups()[1:])))
                    elif " epoch " in line:
                        bar.set_postfix_str(line.strip())
                    elif line.startswith("warning: "):
                        bar.write(line.rstrip(), file=sys.stderr)
            bar.update(seen + len(chunk) - count)  # those that DVC skipped count as done
            if process.returncode:
                if not self._killed and not go_on:
                    bar.write("".join(lines[-20:]), file=sys.stderr)
                failures.append(Failure(chunk, command, process.returncode, "".join(lines)))

    def _start(self, command: Sequence[str], place: Place | None = None, **streams: Any) -> subprocess.Popen[Any]:
        environment = {**self._environment, **(place or {})}
        process = subprocess.Popen(
            command, cwd=self._root, env=environment, start_new_session=True, text=True, **streams
        )
        self._processes.append(process)
        return process
