"""A tracker that does not work costs one warning; several processes may write to one that does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines._view import SCORE, show

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
assert time.monotonic() - started < 5.0
tracker.close(100.0)
"""
COUNT = """
from pathlib import Path
from pipelines._tracking import EXPERIMENT, store
client = store(Path.cwd())
runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
print(len(runs), {r.info.status for r in runs}, {len(client.get_metric_history(r.info.run_id, "loss")) for r in runs})
"""

VIEW = """
import time
from pathlib import Path
from pipelines._tracking import EXPERIMENT, Tracker, store
from pipelines._view import TAG, state
client = store(Path.cwd())
own = client.get_experiment_by_name(EXPERIMENT)
client.set_experiment_tag(own.experiment_id, TAG, "of an older version")
again = store(Path.cwd()).get_experiment_by_name(EXPERIMENT)
tracker = Tracker(Path.cwd())
tracker.begin("a-b", 0, {"fingerprint": "f"}, {})
time.sleep(1.5)
tracker.end("a-b", 0, {})
tracker.close()
(run,) = client.search_runs([own.experiment_id])
print(own.tags[TAG] == state(), again.tags[TAG] == state(), run.info.end_time - run.info.start_time)
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


def test_the_pages_open_with_a_view_that_the_store_holds_and_durations_are_true(tmp_path):
    printed, complaints = _start(tmp_path, VIEW).communicate(timeout=120)
    known, renewed, milliseconds = printed.split()
    assert (known, renewed) == ("True", "True"), complaints
    assert 1400 < int(milliseconds) < 15_000


@pytest.mark.parametrize("diverged", [False, True])
def test_every_run_shows_the_score_that_selects_its_epochs(diverged):
    path = ROOT / "reports/history/laptop/pcgrad/multi_mnist-pcgrad.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    if diverged:
        line["epochs"][-1] = {**line["epochs"][-1], "val.left.loss": None}
    said = []

    class Told:
        log = staticmethod(lambda name, seed, rows: said.extend(rows))
        end = staticmethod(lambda *_: None)

    experiment = SimpleNamespace(name=line["experiment"], declaration={})
    show(Told, SimpleNamespace(experiment=experiment, seed=0), "end", {"history": line, "cost": {"seconds": 2.0}})
    mean = [(row["val.left.accuracy"] + row["val.right.accuracy"]) / 2 for row in line["epochs"]]
    scores = [(row["epoch"], {SCORE: pytest.approx(own)}) for row, own in zip(line["epochs"], mean, strict=True)]
    assert said == [*(scores[:-1] if diverged else scores), (len(mean), {"cost.seconds": 2.0})]
