"""A tracker that does not work costs one warning; several processes may write to one that does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
RUN = """
import sys, time
from pathlib import Path
from pipelines._tracking import Tracker
name, seeds = sys.argv[1], int(sys.argv[2])
tracker = Tracker(Path.cwd())
started = time.monotonic()
for seed in range(seeds):
    tracker.begin(name, seed, {"fingerprint": "f"}, {"aggregator": {"name": "pcgrad"}})
    tracker.log(name, seed, [(step, {"loss": 1.0 / (step + 1), "cosine": 0.5}) for step in range(700)])
    tracker.end(name, seed, {"history.json": {"seed": seed}})
print("training went on after", time.monotonic() - started)
assert time.monotonic() - started < 1.0
tracker.close()
"""
COUNT = """
from pathlib import Path
from pipelines._tracking import EXPERIMENT, store
client = store(Path.cwd())
runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
print(len(runs), {r.info.status for r in runs}, {len(client.get_metric_history(r.info.run_id, "loss")) for r in runs})
"""


def _start(folder, script, *arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-c", script, *arguments]
    environment = {**clean, "PYTHONPATH": str(ROOT), **environment}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize("uri", ["sqlite:////proc/nowhere/mlflow.db", "http://127.0.0.1:9"])
def test_a_tracker_that_cannot_be_reached_costs_one_warning(tmp_path, uri):
    process = _start(tmp_path, RUN, "a-b", "3", MLFLOW_TRACKING_URI=uri)
    printed, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    assert "training went on" in printed
    assert complaints.count("warning: the tracker does not answer") == 1
    assert complaints.count("\n") == 1, complaints


def test_processes_that_start_on_a_fresh_store_at_once_lose_nothing(tmp_path):
    folder = tmp_path / "a b?c=1#d%20é"  # every one of these has a meaning in an address
    folder.mkdir()
    processes = [_start(folder, RUN, f"a-{name}", "2") for name in ("x", "y")]
    for process in processes:
        _, complaints = process.communicate(timeout=180)
        assert process.returncode == 0, complaints
        assert complaints == ""
    counted, complaints = _start(folder, COUNT).communicate(timeout=120)
    assert counted.strip() == "4 {'FINISHED'} {700}", complaints
    assert list(tmp_path.iterdir()) == [folder]
    assert len(list(folder.glob("mlartifacts/*/artifacts/history.json"))) == 4
