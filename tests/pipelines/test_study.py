"""`make study` on made-up pictures: whole, killed and resumed, changed, diverged, and asked for what is not there."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import yaml

import pipelines.study
import pipelines.train
from gradsurgery.evidence.study import check, parse
from pipelines.study import main
from tests.pipelines.conftest import settle

ROOT = Path(__file__).parents[2]
DONE = Path("reports/study/multi_mnist.jsonl")
WORK = Path("runs/study/multi_mnist")


@pytest.fixture
def folder(tmp_path, monkeypatch, params, pins, arrays):
    """A folder with the small params.yaml and the arrays of its one studied problem, entered."""
    settle(tmp_path, params, pins)
    processed = tmp_path / "data/processed/multi_mnist"
    processed.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(processed / f"{name}.npy", array)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipelines.train, "Tracker", lambda root: Mock())
    return tmp_path


def _edit(folder, change):
    document = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    change(document)
    (folder / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")


def _counting(monkeypatch, stop=None):
    """Counts the trials that are trained; raises what Ctrl-C raises after `stop` of them."""
    seen, work = [], pipelines.train.train_one

    def counted(run, place, tell):
        if stop is not None and len(seen) == stop:
            raise KeyboardInterrupt
        seen.append(run.name)
        work(run, place, tell)

    monkeypatch.setattr(pipelines.train, "train_one", counted)
    return seen


def _finished():
    return list(WORK.glob("*/seed-*.json"))


def test_a_whole_study_is_fair_complete_and_free_of_the_clock(folder, capsys):
    (folder / "workspaces/laptop/data").mkdir(parents=True)
    (folder / "data/processed").rename(folder / "workspaces/laptop/data/processed")  # where `make repro` prepares them
    assert main(["--jobs", "1"]) == 0
    lines = DONE.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    keys = [(r["kind"], r["method"], r["trial"], r["seed"]) for r in records]
    assert keys == sorted(keys)
    kinds = [kind for kind, *_ in keys]
    # 3 methods with 2 trials; 3 winners on 2 fresh seeds
    assert [kinds.count(kind) for kind in ("search", "winner")] == [6, 6]
    check(parse(lines, "study"), "best-val")
    text = DONE.read_text(encoding="utf-8")
    assert not [word for word in ("seconds", str(folder), "torch", "time") if word in text]
    costs = json.loads(Path("reports/study/costs/multi_mnist.json").read_text(encoding="utf-8"))
    assert set(costs["seconds"]) == {"/".join(map(str, key)) for key in keys}
    assert "12 trials trained now, 0 of them failed" in capsys.readouterr().out


def test_the_default_trial_trains_as_its_line_does(folder):
    main(["--jobs", "1"])
    records = [json.loads(line) for line in DONE.read_text(encoding="utf-8").splitlines()]
    first = next(r for r in records if (r["kind"], r["method"], r["trial"]) == ("search", "pcgrad", 0))
    assert pipelines.train.main(["multi_mnist-pcgrad", "--jobs", "1"]) == 0
    path = Path("reports/history/smoke/pcgrad/multi_mnist-pcgrad.jsonl")
    line = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert (first["seed"], first["epochs"]) == (line["seed"], line["epochs"])


def test_an_interrupted_study_goes_on_to_the_same_bytes(folder, monkeypatch, capsys):
    main(["--jobs", "1"])
    wanted = DONE.read_bytes()
    DONE.unlink()
    shutil.rmtree(WORK)
    with monkeypatch.context() as patch:
        _counting(patch, stop=4)
        assert main(["--jobs", "1"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not DONE.exists(), "nothing half-done may reach the report"
    assert len(_finished()) == 4
    seen = _counting(monkeypatch)
    assert main(["--jobs", "1"]) == 0
    assert len(seen) == 12 - 4
    assert DONE.read_bytes() == wanted
    seen.clear()
    assert main(["--jobs", "1"]) == 0
    assert seen == []


def test_what_changed_is_trained_again_and_nothing_else(folder, monkeypatch):
    main(["--jobs", "1"])
    _edit(folder, lambda d: d["methods"]["pcgrad"]["aggregator"].update(order="fixed"))
    seen = _counting(monkeypatch)
    assert main(["--jobs", "1"]) == 0
    assert all(name.startswith("study/multi_mnist/pcgrad-") for name in seen)
    assert len(seen) == 4


def test_a_trial_that_diverges_is_spent_and_cannot_win(folder, capsys):
    _edit(folder, lambda d: d["problems"]["multi_mnist"]["smoke"].update(lr=1e30))
    assert main(["--jobs", "1"]) == 0
    records = [json.loads(line) for line in DONE.read_text(encoding="utf-8").splitlines()]
    assert {r["failed"] for r in records} == {True}
    assert "winner" not in {r["kind"] for r in records}
    assert all(np.isfinite(list(row.values())).all() for r in records for row in r["epochs"])
    assert "every trial failed" in capsys.readouterr().out


def test_missing_data_and_an_unknown_problem_are_refused(folder, capsys):
    assert main(["cagrad_toy"]) == 2
    assert "found no 'cagrad_toy' among multi_mnist" in capsys.readouterr().err
    for path in (folder / "data/processed/multi_mnist").iterdir():
        path.unlink()
    assert main([]) == 2
    assert "found none: run `python -m pipelines.prepare multi_mnist` first" in capsys.readouterr().err
    assert not Path("reports").exists()


@pytest.mark.slow
def test_a_killed_study_on_two_cores_goes_on_to_the_same_bytes(folder):
    command = [sys.executable, "-m", "pipelines.study", "--jobs"]
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": ""}
    started = subprocess.Popen([*command, "2"], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 240
    while len(_finished()) < 3:
        assert time.monotonic() < end, "no trial was finished"
        assert started.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert not DONE.exists()
    subprocess.run([*command, "2"], env=environment, check=True, capture_output=True)
    killed = DONE.read_bytes()
    DONE.unlink()
    shutil.rmtree(WORK)
    assert main(["--jobs", "1"]) == 0
    assert DONE.read_bytes() == killed
