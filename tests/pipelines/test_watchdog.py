"""Who started a stage: DVC or `make repro`, and nobody else."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipelines._watchdog import DRIVER, signature

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
