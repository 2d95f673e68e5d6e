"""Runs on the workers of a Dask cluster: one is killed on purpose, and the histories are those of the local pool."""

import pickle
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from pipelines._cluster import Cluster
from tests.pipelines.conftest import Checkout, two_alike
from tests.pipelines.test_pool import Task, work

LINES = ["multi_mnist-sum", "multi_mnist-pcgrad"]
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def folders(checkout, params, pins, tmp_path_factory):
    """The driver's folder and the workers', alike; four runs long enough to be caught."""
    _dask()
    return two_alike(checkout, params, pins, tmp_path_factory.mktemp("cluster"), ("driver", "workers"), epochs=40)


@pytest.fixture(scope="module")
def address(folders):
    """Of a scheduler with two workers, started with Dask's own commands in the workers' folder; and the workers."""
    distributed = _dask()
    _, there = folders
    file = there.root / "scheduler.json"
    command = [sys.executable, "-m", "dask"]
    started = [
        there.start(
            *command, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
        )
    ]
    while not file.exists():
        assert started[0].poll() is None, started[0].communicate()[0]
        time.sleep(0.05)
    client = distributed.Client(scheduler_file=str(file), set_as_default=False)
    address = client.scheduler.address
    for _ in range(2):
        started.append(there.start(*command, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"))
    client.wait_for_workers(2)
    client.close()
    yield address, started[1:]
    for process in started:
        process.kill()
        process.communicate()


def _dask():
    return pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


def _histories(root):
    return {path.name: path.read_bytes() for path in (root / "reports/history/smoke").rglob("*.jsonl")}


@pytest.mark.slow
def test_a_lost_workers_run_is_done_by_another_and_histories_are_those_of_the_local_pool(folders, address):
    here, there = folders
    here.python("-m", "pipelines.train", *LINES, "--jobs", "2")
    local = _histories(here.root)
    for name in ("runs", "reports/history/smoke", "reports/costs/smoke"):
        shutil.rmtree(here.root / name)
    at, workers = address
    driver = here.start(sys.executable, "-m", "pipelines.train", *LINES, "--cluster", at)
    assert not set(workers) & {*psutil.Process(driver.pid).children(recursive=True)}
    lost = psutil.Process(workers[0].pid)
    while not (runs := lost.children()) or not list((there.root / "runs").glob("*/seed-*.pt")):
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.02)
    lost.send_signal(signal.SIGKILL)
    assert runs[0].is_running()  # it had not ended its run
    said, _ = driver.communicate()
    assert driver.returncode == 0, said
    assert "4 runs trained now" in said
    assert _histories(here.root) == local
    assert [len(text.splitlines()) for text in local.values()] == [2, 2]
    psutil.wait_procs(runs, timeout=10)
    assert not runs[0].is_running(), "what a lost worker had begun goes on"


def test_workers_with_other_arrays_are_refused(folders, address, tmp_path):
    here, there = folders
    other = tmp_path / "driver"
    shutil.copytree(here.root, other, symlinks=True)
    images = other / "data/processed/multi_mnist/train_images.npy"
    np.save(images, 255 - np.load(images))
    done = Checkout(other, tmp_path).python("-m", "pipelines.train", LINES[0], "--cluster", address[0], check=False)
    assert done.returncode == 2
    assert f"{there.root / 'data/processed/multi_mnist'} on " in done.stderr
    assert "must hold the driver's arrays, found others." in done.stderr


@pytest.mark.parametrize("given", ["nowhere", "tcp://127.0.0.1:1"])
def test_an_address_without_a_scheduler_is_one_sentence(given, monkeypatch):
    _dask()
    monkeypatch.setattr("pipelines._cluster._CONNECT_S", 0.5)
    with pytest.raises(
        ValueError, match=rf"^`--cluster` must be the address of a Dask scheduler, found {given} \(.*\)\.$"
    ):
        Cluster(given)


def test_a_runs_process_ends_with_its_worker_in_the_middle_of_an_epoch_too():
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines._cluster"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as run:
        try:
            run.stdin.write(pickle.dumps((work, (Task("endless"), "cpu"))))
            run.stdin.flush()
            assert pickle.load(run.stdout) == ("process", run.pid)
            run.stdin.close()  # as when the worker is gone
            assert run.wait(timeout=10) == 143
        finally:
            run.kill()


def test_without_the_package_it_says_which(monkeypatch):
    monkeypatch.setattr("gradsurgery.core.extras.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"^`--cluster` needs a package: `distributed` must be installed, .*\[cluster\]'\.$"
    ):
        Cluster("tcp://127.0.0.1:8786")
