"""Who started a stage: DVC or `make repro`, and nobody else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipelines._watchdog import DRIVER, signature, workers

SCRIPT = "from pipelines._watchdog import drivers; print(len(drivers()))"


@pytest.mark.parametrize(("name", "count"), [("dvc", 1), ("make", 0)])
def test_a_stage_knows_its_driver(tmp_path: Path, name: str, count: int) -> None:
    driver = tmp_path / name
    driver.write_text("import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))")
    command = [sys.executable, str(driver), sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    above = subprocess.run([*command[:1], "-c", SCRIPT], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert int(done.stdout) - int(above.stdout) == count


def test_a_stage_ends_at_once_where_its_driver_ended_before_it_began() -> None:
    root = Path(__file__).parents[2]
    said = [sys.executable, "-c", "from pipelines._watchdog import signature; print(signature())"]
    gone = subprocess.run(said, capture_output=True, text=True, check=True, cwd=root).stdout.strip()
    another = f"{os.getpid()}@{psutil.Process().create_time() - 60}"  # the number came again
    for driver, code in ((signature(), 0), (gone, 143), (another, 143)):
        done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, env={**os.environ, DRIVER: driver})
        assert done.returncode == code, driver


@pytest.mark.parametrize("collected", [True, False])
def test_a_stage_ends_soon_after_its_driver(collected: bool) -> None:
    driver = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    watch = f"end_with([psutil.Process({driver.pid})]); print('watches', flush=True); time.sleep(30)"
    script = f"import psutil, time; from pipelines._watchdog import end_with; {watch}"
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True) as stage:
        assert stage.stdout is not None
        assert stage.stdout.readline() == "watches\n"
        driver.kill()
        if collected:  # else it stays as a zombie, of which the system says that it is there
            driver.wait()
        assert stage.wait(60) == 143
    driver.wait()


BUSY = """
import sys, time
from pipelines._watchdog import workers

if __name__ == "__main__":
    with workers(2, sys.argv[1]) as pool:
        began = [pool.submit(time.sleep, 0.5) for _ in range(2)]
        print(*pool._processes, [each.result() for each in began] and "", flush=True)
        list(pool.map(time.sleep, [300, 300]))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_the_process_that_started_it(tmp_path: Path, method: str, sent: int) -> None:
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    command = [sys.executable, str(script), method]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as pool:
        assert pool.stdout is not None
        assert pool.stderr is not None
        below = [psutil.Process(int(number)) for number in pool.stdout.readline().split()]
        assert len(below) == 2
        pool.send_signal(sent)
        if sent == signal.SIGINT:  # a terminal sends it to all of them
            for process in below:
                process.send_signal(sent)
        pool.wait(60)
        _, alive = psutil.wait_procs(below, 20)
        assert not alive
        assert pool.stderr.read().count("Traceback") == (sent == signal.SIGINT), "of the first process, none of workers"


def test_all_pools_are_such() -> None:
    """A bare pool, joblib's or the standard library's, leaves processes behind that go on for minutes."""
    words, folder = ("ProcessPoolExecutor(", "joblib", ".Pool("), Path(__file__).parents[2] / "pipelines"
    found = {path.name: path.read_text() for path in folder.rglob("*.py")}
    assert {name for name, text in found.items() if any(word in text for word in words)} == {
        "_watchdog.py", "_retrace.py",  # which leans on nothing that an earlier revision may lack
    }  # fmt: skip
    assert "initializer=_end_with_parent" in found["_retrace.py"]


RETRACE = (
    "import time; from pipelines import _retrace as r; r._end_with_parent(); print('on', flush=True); time.sleep(60)"
)


def test_a_retrace_ends_with_the_process_that_started_it() -> None:
    above = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {RETRACE!r}])"
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", above], cwd=root, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "on\n"
        [below] = psutil.Process(first.pid).children()
        first.kill()
        assert not psutil.wait_procs([below], 20)[1]


def _end(code: int) -> None:
    os._exit(code)


def test_a_worker_that_ends_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="a process of 2 ended unexpectedly"), workers(2, "fork") as pool:
        pool.submit(_end, 9).result()
