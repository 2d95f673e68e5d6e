"""`python -m pipelines.why`: from a number to what it came from, in a made-up checkout; a wrong name costs little."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gradsurgery.evidence.history import numbers_of
from pipelines.why import main

ROOT = Path(__file__).parents[2]
RUN = {
    "experiment": "cagrad_toy-mean", "problem": "cagrad_toy", "seed": 0, "scale": "laptop", "track": "as-published",
    "family": "baselines", "role": {"kind": "baseline"},
    "data_sha256": "d" * 64, "declaration": {}, "tasks": ["all"], "metrics": {"all.loss": False}, "diagnostics": [],
    "epochs": [{"epoch": 1, "val.all.loss": 1.0, "test.all.loss": 1.0}], "skipped_steps": 0, "trajectory": None,
}  # fmt: skip
MACHINE = {"torch": "2", "platform": "Linux", "device": "cpu", "cores": 2, "threads": 1}
TRACK = """
from pathlib import Path
from pipelines._tracking import Tracker
tracker = Tracker(Path.cwd())
tracker.begin("cagrad_toy-mean", 0, {"fingerprint": "f"}, {})
tracker.end("cagrad_toy-mean", 0, {})
tracker.close()
from pipelines.why import main
main(["cagrad_toy-mean"])
"""
LOCK = """schema: '2.0'
stages:
  train@baselines:
    cmd: python -m pipelines.train baselines
    deps:
    - {path: data/processed, hash: md5, md5: 0123.dir}
    - {path: src/gradsurgery/core, hash: md5, md5: 4567.dir}
    outs:
    - {path: reports/history/laptop/baselines, hash: md5, md5: 89ab.dir}
"""
HISTORY, COSTS = (Path(f"reports/{kind}/laptop/baselines/cagrad_toy-mean") for kind in ("history", "costs"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed checkout with one experiment, its lock, costs, metrics and one verdict."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for folder in (Path("data/published"), HISTORY.parent, COSTS.parent):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "data/published/cagrad.yaml", tmp_path / "data/published")
    (tmp_path / "params.yaml").write_text("scale: laptop\n")
    history = json.dumps(RUN) + "\n"
    (tmp_path / HISTORY).with_suffix(".jsonl").write_text(history)
    (tmp_path / "dvc.lock").write_text(LOCK)
    cost = {"seconds": 1.0, "step_ms": 1.0, "steps": 1, "backward_passes_per_step": 1, "peak_memory_mb": 1.0,
            "fingerprint": "f00d", "numbers": numbers_of(RUN)}  # fmt: skip
    costs = {"environment": {**MACHINE, "python": "3.11.7", "processor": "made up"}, "seeds": {"0": cost}}
    costs["experiment"] = "cagrad_toy-mean"
    costs["fingerprints"] = {"f00d": {"settings": "5e77", "data": "da7a", "sources": {"src/a.py": "0"}}}
    (tmp_path / COSTS).with_suffix(".json").write_text(json.dumps(costs))
    entry = {"mean": -15.09, "n": 1, "sd": None, "ci95": None}
    row = {"problem": "cagrad_toy", "selection": "last", "all.loss": entry, "rules": {}}
    metrics = {"cagrad_toy-mean": {**row, "minus_sum": {"all": {"mean": -0.25, "n": 2}}}}
    (tmp_path / "reports/metrics.json").write_text(json.dumps(metrics))
    verdict = {"verdict": "reproduced", "ours": "2 of 5", "where": "full length, as-published", "why": "2 against 2"}
    (tmp_path / "reports/verdict.json").write_text(json.dumps({"cagrad/toy-gd-stuck": verdict}))
    commit = ("-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "test: a state")
    for command in (("init", "-q"), ("add", "-A"), commit):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def ask(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([name, "--root", str(root)]) == 0
    return capsys.readouterr().out


def test_an_experiment_leads_to_lock_commit_data_and_machine(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(root, "cagrad_toy-mean", capsys)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
    assert "scale laptop, track as-published, seeds 0" in answer
    assert f"commit      {commit} of " in answer
    assert "train@baselines of dvc.yaml: python -m pipelines.train baselines" in answer
    assert "fingerprint f00d: settings 5e77, data da7a, 1 sources" in answer
    assert "as the history here" in answer
    assert "2 locked inputs; data data/processed: md5 0123.dir" in answer
    assert f"sha256 {'d' * 64}" in answer
    assert "processor made up, python 3.11.7" in answer
    assert "no store here" in answer
    assert not (root / "mlflow.db").exists()


@pytest.mark.parametrize("without", ["Git", "a .git folder"])
def test_without_git_the_commit_alone_is_missing(
    root: Path, without: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if without == "Git":
        monkeypatch.setenv("PATH", "")
    else:
        shutil.rmtree(root / ".git")
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(root.parent))
    answer = ask(root, "cagrad_toy-mean", capsys)
    assert "commit      not committed" in answer
    assert "as the history here" in answer


def test_a_record_leads_to_its_verdict_and_experiment(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(root, "cagrad/toy-gd-stuck", capsys)
    assert "published   2; starts that stay above zero mean loss, of 5" in answer
    assert "verdict     reproduced" in answer
    assert "ours        2 of 5; full length, as-published" in answer
    assert "answered by stuck of cagrad_toy-mean" in answer
    assert "train@baselines" in answer


def test_a_cell_of_a_printed_table_says_why_it_was_not_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(root, "cagrad/table-1/CAGrad, UW, c = 0.6/all.delta_m", capsys)
    assert "its own metrics give -1.79" in answer
    answer = ask(root, "cagrad/table-3/soft modularisation/mt10.success", capsys)
    assert "not run     not attempted: this method is not among ours" in answer


def test_a_cell_of_our_tables_says_its_number_first(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(root, "cagrad_toy-mean/all.loss", capsys)
    assert answer.startswith("cell        all.loss of cagrad_toy-mean\nholds       mean -15.09, n 1")
    assert "selection   last" in answer
    assert "train@baselines" in answer
    assert "holds       mean -0.25, n 2" in ask(root, "cagrad_toy-mean/minus_sum.all", capsys)


def test_a_changed_history_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = (root / HISTORY).with_suffix(".jsonl")
    path.write_text(path.read_text() + json.dumps({**RUN, "seed": 1}) + "\n")
    answer = ask(root, "cagrad_toy-mean", capsys)
    assert "seeds 0, 1" in answer
    assert "but the history here is another" in answer
    assert "(the file differs from it now)" in answer


def test_the_commit_is_the_historys_and_data_of_several_sets_are_told_apart(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = (root / HISTORY).with_suffix(".jsonl")
    path.write_text(json.dumps({**RUN, "data_sha256": {"train": "a" * 64, "test": "b" * 64}}) + "\n")
    for message, name in (("test: the history", path), ("test: something else", root / "params.yaml")):
        name.write_text(name.read_text() + "\n" * (name.suffix == ".yaml"))
        commit = ("-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", message, "--", str(name))
        subprocess.run(["git", *commit], cwd=root, check=True)
    answer = ask(root, "cagrad_toy-mean", capsys)
    assert ": test: the history\n" in answer
    assert f"train sha256 {'a' * 64}; test sha256 {'b' * 64}" in answer


def test_what_is_missing_is_said_and_no_reason_to_stop(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "dvc.lock").unlink()
    (root / COSTS).with_suffix(".json").unlink()
    answer = ask(root, "cagrad_toy-mean", capsys)
    assert "no lock holds a stage train@baselines" in answer
    assert "no record in reports/costs" in answer
    answer = ask(root, "cagrad/fashion-pcgrad", capsys)
    assert "of multi_fashion_mnist-pcgrad minus multi_fashion_mnist-mean" in answer
    for name in ("pcgrad", "mean"):
        assert f"none: no multi_fashion_mnist-{name}.jsonl in reports/history/laptop" in answer


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("cagrad_toy-maen", "cagrad_toy-mean"), ("cagrad/toy-gd-stuk", "cagrad/toy-gd-stuck"),
     ("CAGRAD/TOY-GD-STUCK", "cagrad/toy-gd-stuck"), ("cagrad_toy-mean/loss", "cagrad_toy-mean/all.loss")],
)  # fmt: skip
def test_an_unknown_name_is_one_sentence_with_the_nearest(
    root: Path, name: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--root", str(root)]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith(
        f"error: `NAME` must be a record, an experiment or a cell, found {name!r}; did you mean "
    )
    assert nearest in written.err
    assert written.err.count("\n") == 1


def test_elsewhere_than_in_a_checkout_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cagrad_toy-mean", "--root", str(tmp_path)]) == 2
    assert "`--root` must be a checkout of gradsurgery" in capsys.readouterr().err


def test_help_teaches_the_three_kinds_of_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "a record of the ledger" in said
    assert "python -m pipelines.why multi_fashion_mnist-sum/left.accuracy" in said


@pytest.mark.slow
def test_runs_of_the_tracker_are_listed(root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    command = [sys.executable, "-c", TRACK]
    answer = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout
    assert "mlflow      run " in answer
    assert ", seed 0, finished, at commit " in answer
