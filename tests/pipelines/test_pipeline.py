"""The pipeline as a user meets it: run, run again, edit one method, pull the plug."""

import json
import os
import signal
import sys
import time

import psutil
import pytest
import yaml

from tests.pipelines.conftest import Checkout

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(checkout):
    """The checkout after one `make repro`, committed."""
    checkout.first = checkout.python("-m", "pipelines.repro", "--jobs", "2")
    checkout.commit()
    return checkout


@pytest.fixture
def clean(done):
    """The finished checkout, put back to its committed state afterwards."""
    yield done
    done.run("git", "checkout", "-q", ".")
    done.run("dvc", "checkout", "-q", "--force")  # runs/ is DVC's: a test may have trained


def _histories(checkout):
    return {path.name: path.read_bytes() for path in sorted((checkout.root / "reports/history").iterdir())}


def _stale(checkout):
    return set(json.loads(checkout.run("dvc", "status", "--json").stdout))


def _trainers(checkout):
    found = []
    for process in psutil.process_iter():
        try:
            if {"pipelines.train", "pipelines._warm"} & set(process.cmdline()) and process.cwd() == str(checkout.root):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _wait(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"nothing happened within {seconds} s"
        time.sleep(0.1)
    return value


def test_a_fresh_clone_ends_with_a_report_and_a_summary(done, params):
    experiments = {f"{problem}-{key}" for problem, lines in params["experiments"].items() for key in lines}
    assert set(_histories(done)) == {f"{name}.jsonl" for name in experiments}
    metrics = json.loads((done.root / "reports/metrics.json").read_text())
    assert set(metrics) == experiments
    assert metrics["multi_mnist-sum"]["n"] == 2
    assert (done.root / "reports/index.html").stat().st_size > 1000
    assert f"{len(experiments)} experiments, {len(experiments)} trained now" in done.first.stdout


def test_the_second_run_runs_nothing(done):
    assert "Running stage" not in done.run("dvc", "repro").stdout
    assert "0 trained now" in done.python("-m", "pipelines.repro").stdout
    assert "Running stage" not in done.run("dvc", "repro", "--dry", "--allow-missing").stdout


def test_every_seed_has_one_finished_flat_run_in_the_tracker(done):
    script = (
        "import json, pathlib\n"
        "from pipelines import _tracking\n"
        "client = _tracking.store(pathlib.Path.cwd())\n"
        "own = client.get_experiment_by_name(_tracking.EXPERIMENT).experiment_id\n"
        "print(json.dumps([[r.info.status, r.data.tags, r.data.metrics] for r in client.search_runs([own])]))\n"
    )
    runs = json.loads(done.python("-c", script).stdout)
    seeds = {(tags["experiment"], tags["seed"]) for _, tags, _ in runs}
    assert len(runs) == len(seeds) == 2 * 2 + 2
    for status, tags, metrics in runs:
        assert status == "FINISHED"
        assert tags["stage"] == "train"
        assert {"problem", "method", "scale", "track", "git_commit"} <= set(tags)
        assert {"mean_cosine", "cost.step_ms", "cost.peak_memory_mb"} <= set(metrics)


def test_an_edit_of_pcgrad_makes_exactly_its_experiments_stale(clean):
    assert _stale(clean) == set()
    with open(clean.root / "src/gradsurgery/aggregators/pcgrad.py", "a", encoding="utf-8") as file:
        file.write("\n# edited\n")
    assert _stale(clean) == {
        "pipelines/multi_mnist/dvc.yaml:train@pcgrad",
        "pipelines/cagrad_toy/dvc.yaml:train@pcgrad",
    }


def test_an_edit_of_how_we_log_makes_nothing_stale(clean):
    for name in ("_tracking", "_params", "_progress", "_costs", "_warm", "_watchdog", "repro"):
        with open(clean.root / f"pipelines/{name}.py", "a", encoding="utf-8") as file:
            file.write("\n# edited\n")
    assert _stale(clean) == set()


def test_a_killed_training_goes_on_to_the_same_bytes(clean):
    experiment = "multi_mnist-pcgrad"
    wanted = _histories(clean)[f"{experiment}.jsonl"]
    for path in (clean.root / "runs" / experiment).iterdir():
        path.unlink()
    (clean.root / f"reports/history/{experiment}.jsonl").unlink()
    command = (sys.executable, "-m", "pipelines.train", experiment, "--jobs", "1")
    clean.environment["GRADSURGERY_EVENTS"] = str(clean.root / "mlflow.db.events")
    trainer = clean.start(*command)
    for line in trainer.stdout:
        if " epoch 2/4 " in line:
            break
    trainer.kill()
    trainer.wait()
    trainer.stdout.close()
    assert not (clean.root / f"reports/history/{experiment}.jsonl").exists()
    continued = clean.run(*command)
    assert "seed 0 epoch 1/4" not in continued.stdout, "it started anew instead of going on"
    assert _histories(clean)[f"{experiment}.jsonl"] == wanted
    assert "epoch" not in clean.run(*command).stdout, "finished seeds must be skipped"


def test_a_checkpoint_of_other_settings_is_not_continued(clean, params):
    changed = yaml.safe_load((clean.root / "params.yaml").read_text())
    changed["problems"]["cagrad_toy"]["smoke"]["lr"] = 2.0e-3
    (clean.root / "params.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    printed = clean.python("-m", "pipelines.train", "cagrad_toy-mean").stdout
    assert "epoch 1/4" in printed


@pytest.mark.parametrize("share", [0.6, 0.02])
@pytest.mark.parametrize("name", ["dvc.lock", "pipelines/multi_mnist/dvc.lock"])
def test_a_truncated_lock_is_named_and_restored(clean, name, share):
    lock = clean.root / name
    whole = lock.read_bytes()
    lock.write_bytes(whole[: int(len(whole) * share)])
    again = clean.python("-m", "pipelines.repro")
    assert f"warning: {name} was cut off by a kill; restored from Git" in again.stderr
    assert lock.read_bytes() == whole


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_no_trainer_outlives_an_interrupted_run(clean, sent):
    changed = yaml.safe_load((clean.root / "params.yaml").read_text())
    # An epoch lasts longer than a trainer may outlive its driver: one that prints would die of the broken pipe alone.
    changed["problems"]["cagrad_toy"]["smoke"]["steps"] = 600_000 + 4 * sent
    (clean.root / "params.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    checkpoints = list((clean.root / "runs").glob("cagrad_toy-*/*.pt"))
    before = max(path.stat().st_mtime_ns for path in checkpoints)
    driver = clean.start(sys.executable, "-m", "pipelines.repro", "--jobs", "2")

    def training():
        return driver.poll() is not None or any(path.stat().st_mtime_ns > before for path in checkpoints)

    try:
        _wait(training, 120)
        assert driver.poll() is None, driver.communicate()[0]
        assert _trainers(clean)
        os.kill(driver.pid, sent)
        _wait(lambda: not _trainers(clean), 6)
    finally:
        for orphan in _trainers(clean):
            orphan.kill()
        driver.kill()
        driver.communicate()
    assert driver.returncode in (130, -signal.SIGKILL)


def test_another_scale_leaves_this_one_alone(clean):
    before = clean.run("git", "status", "--porcelain").stdout
    clean.python(
        "-c", "from pathlib import Path; from pipelines._workspace import workspace; workspace(Path.cwd(), 'paper')"
    )
    other = clean.root / "workspaces/paper"
    assert "scale: paper" in (other / "params.yaml").read_text()
    assert "scale: smoke" in (clean.root / "params.yaml").read_text()
    assert clean.run("git", "status", "--porcelain").stdout == before
    (clean.root / "src/gradsurgery/aggregators/mgda.py").unlink()
    clean.python(
        "-c", "from pathlib import Path; from pipelines._workspace import workspace; workspace(Path.cwd(), 'paper')"
    )
    assert not (other / "src/gradsurgery/aggregators/mgda.py").exists(), (
        "a deleted file must not live on in a workspace"
    )


def test_a_missing_optional_data_set_skips_its_problems_at_smoke_scale(checkout, params, tmp_path):
    root = tmp_path / "clone"
    checkout.run("git", "clone", "-q", str(checkout.root), str(root))
    changed = yaml.safe_load((root / "params.yaml").read_text())
    changed["datasets"]["digits"]["optional"] = True
    (root / "params.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    bare = Checkout(root, tmp_path / "no-mirror")
    printed = bare.python("-m", "pipelines.repro", "--jobs", "2").stdout
    assert "warning: skipping multi_mnist: data set digits could not be had" in printed
    assert "SKIPPED  multi_mnist: their data set could not be had" in printed
    wanted = {f"cagrad_toy-{key}.jsonl" for key in params["experiments"]["cagrad_toy"]}
    assert {path.name for path in (root / "reports/history").iterdir()} >= wanted
    changed["datasets"]["digits"]["optional"] = False
    (root / "params.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    refused = bare.python("-m", "pipelines.repro", "--jobs", "2", check=False)
    assert refused.returncode == 1
    assert "GRADSURGERY_MIRROR" in refused.stderr


def test_dvc_commands_say_something(clean):
    assert "multi_mnist-pcgrad" in clean.run("dvc", "metrics", "show").stdout
    assert "train" in clean.run("dvc", "dag", "--collapse-foreach-matrix").stdout
    assert "scale" in clean.run("dvc", "params", "diff", "--all").stdout
