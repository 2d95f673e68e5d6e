"""The process that has imported torch: what it hands back is what a trainer of its own would, or nothing at all."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines._params import CHECKED, sha256_of
from pipelines._warm import ADDRESS, handed_over

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks safely after importing torch")


@pytest.fixture
def warm(tmp_path, monkeypatch):
    """The process, serving a copy of the sources in the current folder."""
    for folder in ("pipelines", "src"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ADDRESS, f"gradsurgery-test-{os.getpid()}")
    monkeypatch.setenv(CHECKED, sha256_of(tmp_path / "params.yaml"))
    command = [sys.executable, "-m", "pipelines._warm", os.environ[ADDRESS]]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def _asked(*arguments):
    """The answer, once the process listens."""
    until = time.monotonic() + 60
    while (code := handed_over(arguments)) is None and time.monotonic() < until:
        time.sleep(0.05)
    return code


def test_without_one_a_trainer_starts_by_itself(monkeypatch):
    monkeypatch.delenv(ADDRESS, raising=False)
    assert handed_over(["multi_mnist-sum"]) is None
    monkeypatch.setenv(ADDRESS, "gradsurgery-nobody-listens-here")
    assert handed_over(["multi_mnist-sum"]) is None


def test_exit_code_and_output_are_the_trainers(warm, capfd):
    assert _asked("multi_mnist-pcgard") == 2
    assert "found 'multi_mnist-pcgard'" in capfd.readouterr().err
    assert handed_over(["--help"]) == 0
    assert "python -m pipelines.train" in capfd.readouterr().out
    assert warm.poll() is None, "a training that ends must leave the process as it was"


def test_the_device_is_the_trainers(warm, monkeypatch, capfd):
    """The driver gives every trainer a GPU of its own."""
    assert _asked("--help") == 0
    monkeypatch.setenv("GRADSURGERY_DEVICE", "gpu")
    assert handed_over(["cagrad_toy-mean"]) == 2
    assert "`GRADSURGERY_DEVICE` must be auto, cpu, cuda or cuda:<number>, found 'gpu'" in capfd.readouterr().err
    monkeypatch.delenv("GRADSURGERY_DEVICE")
    assert handed_over(["cagrad_toy-mean"]) == 2
    assert "GRADSURGERY_DEVICE" not in capfd.readouterr().err


def test_changed_sources_are_not_trained_with_the_old_ones(warm):
    assert _asked("--help") == 0
    source = Path("src/gradsurgery/core/surgery.py")
    source.write_text(source.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert handed_over(["--help"]) is None


def test_it_ends_with_who_started_it(warm):
    assert _asked("--help") == 0
    warm.stdin.close()
    assert warm.wait(60) == 0
    assert handed_over(["--help"]) is None
