"""Who started a stage: DVC or `make repro`, and nobody else."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = "from pipelines._watchdog import drivers; print(len(drivers()))"


@pytest.mark.parametrize(("name", "count"), [("dvc", 1), ("make", 0)])
def test_a_stage_knows_its_driver(tmp_path: Path, name: str, count: int) -> None:
    driver = tmp_path / name
    driver.write_text("import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))")
    command = [sys.executable, str(driver), sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    above = subprocess.run([*command[:1], "-c", SCRIPT], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert int(done.stdout) - int(above.stdout) == count
