"""The pipeline as a user meets it: run, run again, edit one method, pull the plug."""

import gzip
import http.server
import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml

import pipelines.repro
from pipelines._params import CHECKED, sha256_of
from tests.pipelines.conftest import Checkout

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(checkout):
    """The checkout after one `make repro`, its results recorded, committed, and put in place from DVC's cache."""
    checkout.first = checkout.python("-m", "pipelines.repro", "--jobs", "2")
    checkout.untouched = checkout.run("git", "status", "--porcelain").stdout
    checkout.second = checkout.python("-m", "pipelines.repro", "--record")
    checkout.commit()
    checkout.run("dvc", "checkout", "-q")
    return checkout


@pytest.fixture
def clean(done):
    """The finished checkout, put back to its committed state afterwards."""
    yield done
    done.run("git", "checkout", "-q", ".")
    done.run("dvc", "checkout", "-q", "--force")  # runs/ is DVC's: a test may have trained


def _histories(root):
    return {path.name: path.read_bytes() for path in sorted((root / "reports/history/smoke").glob("*/*"))}


def _stale(checkout):
    return set(json.loads(checkout.run("dvc", "status", "--json").stdout))


def _trainers(checkout):
    found, work = [], str(checkout.root / "workspaces/smoke")
    for process in psutil.process_iter():
        try:
            if process.cwd() == work and "python" in (process.cmdline() or [""])[0]:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _forked(process):
    try:
        return any("forkserver" in word for word in process.cmdline())
    except psutil.Error:  # it has ended since it was listed
        return False


def _wait(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"nothing happened within {seconds} s"
        time.sleep(0.1)
    return value


def test_a_fresh_clone_ends_with_a_report_and_a_summary(done, params):
    experiments = {f"{problem}-{key}" for problem, block in params["problems"].items() for key in block["methods"]}
    assert set(_histories(done.root)) == {f"{name}.jsonl" for name in experiments}
    metrics = json.loads((done.root / "reports/metrics.json").read_text())
    assert set(metrics) == experiments
    assert metrics["multi_mnist-sum"]["n"] == 2
    assert (done.root / "reports/index.html").stat().st_size > 1000
    assert f"{len(experiments)} lines, 6 runs trained now" in done.first.stdout


def test_a_run_leaves_what_git_knows_alone_until_it_is_recorded(done):
    assert done.untouched == ""
    assert "0 runs trained now" in done.second.stdout
    assert f"files in {done.root}: commit reports/, README.md and dvc.lock together" in done.second.stdout
    work = done.root / "workspaces/smoke"
    for path in [*(work / "reports").rglob("[!.]*"), *work.rglob("dvc.lock")]:
        if path.is_file() and path.name != "skipped.json":
            assert (done.root / path.relative_to(work)).read_bytes() == path.read_bytes(), path


def test_the_second_run_runs_nothing(done):
    assert "Running stage" not in done.run("dvc", "repro").stdout, "in place, after `dvc checkout`"


def test_a_fresh_clone_knows_without_data_that_nothing_is_stale(done, tmp_path):
    done.run("git", "clone", "-q", str(done.root), str(tmp_path / "clone"))
    clone = Checkout(tmp_path / "clone", Path())
    assert "Running stage" not in clone.run("dvc", "repro", "--dry", "--allow-missing").stdout


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


def _dry(checkout):
    return checkout.python("-m", "pipelines.train", "--dry").stdout.splitlines()


def test_an_edit_of_one_method_makes_exactly_its_runs_stale(clean):
    assert _dry(clean) == ["0 of 6 runs are stale at scale smoke"]
    with open(clean.root / "src/gradsurgery/aggregators/mean.py", "a", encoding="utf-8") as file:
        file.write("\n# edited\n")
    why = "source file src/gradsurgery/aggregators/mean.py changed"
    assert _dry(clean) == [f"cagrad_toy-mean seed 0: {why}", "1 of 6 runs are stale at scale smoke"]
    told = clean.run("dvc", "repro", "train@baselines", "train@pcgrad").stdout
    assert "train: 2 lines, 1 runs trained now" in told
    assert "train: 2 lines, 0 runs trained now" in told
    assert clean.run("git", "status", "--porcelain", "reports/history").stdout == "", "a comment changes no number"


def test_a_changed_setting_is_named(clean):
    text = (clean.root / "params.yaml").read_text()
    changed = yaml.safe_load(text)
    changed["problems"]["cagrad_toy"]["smoke"]["lr"] = 2.0e-3
    (clean.root / "params.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    assert _dry(clean) == [
        "cagrad_toy-mean seed 0: setting `settings.lr` changed",
        "cagrad_toy-pcgrad seed 0: setting `settings.lr` changed",
        "2 of 6 runs are stale at scale smoke",
    ]


def test_an_edit_of_how_we_log_makes_nothing_stale(clean):
    for name in ("_tracking", "_params", "_progress", "_costs", "_pool", "_watchdog", "train", "repro"):
        with open(clean.root / f"pipelines/{name}.py", "a", encoding="utf-8") as file:
            file.write("\n# edited\n")
    assert _stale(clean) == set()
    assert _dry(clean) == ["0 of 6 runs are stale at scale smoke"]


def test_a_history_that_was_changed_by_hand_is_made_again(clean):
    path = clean.root / "reports/history/smoke/pcgrad/cagrad_toy-pcgrad.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"seed":0', b'"seed":1'))
    done = clean.python("-m", "pipelines.train", "pcgrad")
    assert "cagrad_toy-pcgrad.jsonl and its costs do not go together" in done.stderr
    assert path.read_bytes() == whole


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_killed_training_goes_on_to_the_same_bytes(clean, jobs):
    line = "multi_mnist-pcgrad"
    wanted = _histories(clean.root)[f"{line}.jsonl"]
    own = clean.root / "reports/history/smoke/pcgrad" / f"{line}.jsonl"
    shutil.rmtree(clean.root / "runs" / line, ignore_errors=True)
    own.unlink()
    command = (sys.executable, "-m", "pipelines.train", line, "--jobs", jobs)
    trainer = clean.start(*command)
    checkpoint = clean.root / "runs" / line / "seed-0.pt"
    _wait(lambda: trainer.poll() is not None or checkpoint.exists())
    trainer.kill()
    trainer.communicate()
    assert not own.exists(), "it was over before it was killed"
    before = checkpoint.stat().st_mtime_ns
    clean.run(*command)
    assert _histories(clean.root)[f"{line}.jsonl"] == wanted
    assert checkpoint.stat().st_mtime_ns >= before
    assert "0 runs trained now" in clean.run(*command).stdout


def test_a_truncated_lock_is_named_and_made_again(clean):
    lock = clean.root / "workspaces/smoke/dvc.lock"
    whole = lock.read_bytes()
    lock.write_bytes(whole[: len(whole) // 2])
    again = clean.python("-m", "pipelines.repro")
    assert "warning: workspaces/smoke/dvc.lock was cut off by a kill; removed" in again.stderr
    assert yaml.safe_load(lock.read_bytes()) == yaml.safe_load(whole)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("trains", [False, True], ids=["before a stage", "in training"])
def test_no_trainer_outlives_an_interrupted_run(clean, sent, trains):
    changed = yaml.safe_load((clean.root / "params.yaml").read_text())
    # An epoch lasts longer than a trainer may outlive its driver: one that prints would die of the broken pipe alone.
    changed["problems"]["cagrad_toy"]["smoke"]["steps"] = 6_000_000 + 4 * sent + 400 * trains
    changed["problems"]["multi_mnist"]["smoke"]["epochs"] = 1000 + sent + 100 * trains
    (clean.root / "params.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    known = clean.run("git", "status", "--porcelain").stdout
    driver = clean.start(sys.executable, "-m", "pipelines.repro", "--jobs", "2")

    def reached():  # DVC alone, or the fork server and two runs below a stage
        there = _trainers(clean)
        forked = [process for process in there if _forked(process)]
        return driver.poll() is not None or (len(forked) > 2 if trains else there)

    try:
        _wait(reached, 240)
        time.sleep(3 * trains)
        assert driver.poll() is None, driver.communicate()[0]
        assert _trainers(clean)
        os.kill(driver.pid, sent)
        _wait(lambda: not _trainers(clean), 20)  # DVC takes its time to say that a stage failed
    finally:
        for orphan in _trainers(clean):
            orphan.kill()
        driver.kill()
        driver.communicate()
    assert driver.returncode in (130, -signal.SIGKILL)
    assert clean.run("git", "status", "--porcelain").stdout == known


@pytest.mark.parametrize(("sent", "after"), [(signal.SIGKILL, 0.5), (signal.SIGINT, 2.5), (signal.SIGTERM, 5.0)])
def test_git_knows_nothing_of_an_interrupt(clean, sent, after):
    with open(clean.root / "src/gradsurgery/aggregators/pcgrad.py", "a", encoding="utf-8") as file:
        file.write(f"\n# edited, {after}\n")
    clean.commit()
    driver = clean.start(sys.executable, "-m", "pipelines.repro", "--jobs", "2")
    time.sleep(after)
    os.kill(driver.pid, sent)
    driver.communicate()
    assert driver.returncode != 0, "it was over before it was interrupted"
    assert clean.run("git", "status", "--porcelain").stdout == ""
    clean.run("git", "reset", "-q", "--hard", "HEAD~1")


def test_a_stage_that_fails_in_place_leaves_what_it_should_replace(clean):
    source = clean.root / "src/gradsurgery/aggregators/pcgrad.py"
    source.write_text(source.read_text(encoding="utf-8") + "\nraise RuntimeError('not today')\n", encoding="utf-8")
    failed = clean.run("dvc", "repro", "-s", "train@pcgrad", check=False)
    assert failed.returncode != 0
    assert "not today" in failed.stderr + failed.stdout
    assert clean.run("git", "status", "--porcelain").stdout == " M src/gradsurgery/aggregators/pcgrad.py\n"
    assert clean.run("git", "diff", "--name-only", "reports").stdout == ""


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


@pytest.fixture(scope="module")
def bare(done, tmp_path_factory):
    """A fresh clone of the committed state on a machine that has no data, and no mirror."""
    root = tmp_path_factory.mktemp("bare") / "clone"
    done.run("git", "clone", "-q", str(done.root), str(root))
    made = Checkout(root, Path())
    del made.environment["GRADSURGERY_MIRROR"]
    return made


def _sources(checkout, *sources):
    changed = yaml.safe_load((checkout.root / "params.yaml").read_text())
    changed["datasets"]["digits"]["sources"] = list(sources)
    (checkout.root / "params.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    checkout.commit()


def test_a_data_set_that_cannot_be_had_costs_its_own_problems_until_it_comes(bare, done):
    before = _histories(bare.root)
    _sources(bare, {"kind": "archive", "url": "http://127.0.0.1:9/digits.tgz"})
    lacking = bare.python("-m", "pipelines.repro", "--jobs", "2", "--strict")
    assert lacking.stdout.splitlines()[-1] == (
        "not rerun here: 2 experiments of 1 problems (data set digits: http://127.0.0.1:9/digits.tgz: no connection "
        "(ConnectionError), GRADSURGERY_MIRROR: not set)"
    )
    assert "no source gave the data set digits" in lacking.stderr
    assert "into a folder <any>/digits/ and set GRADSURGERY_MIRROR=<any>" in lacking.stderr
    assert bare.run("git", "status", "--porcelain").stdout == ""
    work = bare.root / "workspaces/smoke"
    assert _histories(work) == before, "what was not rerun keeps its committed history, what was comes out the same"
    page = (work / "reports/index.html").read_text()
    assert "Committed, not rerun on this machine, as their data could not be had: MultiMNIST." in page
    assert 'MultiMNIST</a> <span class="soft">(committed, not rerun on this machine)</span>' in page
    assert "not rerun on this machine" not in (bare.root / "reports/index.html").read_text()
    bare.environment["GRADSURGERY_MIRROR"] = done.environment["GRADSURGERY_MIRROR"]
    told = bare.python("-m", "pipelines.repro", "--jobs", "2").stdout
    del bare.environment["GRADSURGERY_MIRROR"]
    trained = [int(found) for found in re.findall(r"lines, (\d+) runs trained now", told)]
    assert sum(trained) > 0, "what was not rerun for want of data is trained once they are there"
    assert _histories(work) == before
    assert "not rerun" not in told + (work / "reports/index.html").read_text()
    assert bare.run("git", "status", "--porcelain").stdout == ""
    shutil.rmtree(work / "data/raw/digits")


def test_wrong_bytes_cost_no_more_and_recording_wants_everything(bare, tmp_path):
    class Wrong(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(gzip.compress(b"nothing of the sort"))

        def log_message(self, format, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Wrong) as served:
        threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{served.server_port}/digits/"
        _sources(bare, {"kind": "files", "url": url})
        refused = bare.python("-m", "pipelines.repro", "--record", check=False)
        served.shutdown()
    assert refused.returncode == 1
    assert "idx3-ubyte is no IDX file of bytes" in refused.stderr
    assert "error: `--record` needs a complete run, found none of the data set digits." in refused.stderr
    assert "not rerun here: 2 experiments of 1 problems (data set digits: http" in refused.stdout
    assert bare.run("git", "status", "--porcelain").stdout == ""


def test_required_data_are_missed_before_any_work_and_in_bounded_time(bare):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        _sources(bare, {"kind": "archive", "url": f"http://127.0.0.1:{silent.getsockname()[1]}/digits.tgz"})
        started = time.monotonic()
        done = bare.python("-m", "pipelines.repro", "--require-data", check=False)
        assert time.monotonic() - started < 30
    assert done.returncode == 1
    assert "digits.tgz: no answer" in done.stderr
    assert "error: `--require-data` needs every data set, found none of digits" in done.stderr
    assert "Running stage 'prepare'" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--jobs", "-1"], "`--jobs` must be a whole number from 1 to 1024, found '-1'."),
        (["--jobs", "1000000"], "`--jobs` must be a whole number from 1 to 1024, found '1000000'."),
        (["--per-gpu", "2"], "`--per-gpu` must stand with GRADSURGERY_DEVICE=cuda, found the device 'cpu'."),
    ],
)
def test_a_wrong_option_is_one_sentence(arguments, said, capsys, monkeypatch):
    monkeypatch.setenv(CHECKED, sha256_of(pipelines.repro.ROOT / "params.yaml"))  # its lines are no part of this
    assert pipelines.repro.main(arguments) == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_dvc_commands_say_something(clean):
    assert "inconclusive" in clean.run("dvc", "metrics", "show").stdout
    assert "train" in clean.run("dvc", "dag", "--collapse-foreach-matrix").stdout
    assert len(clean.run("dvc", "dag", "--dot").stdout.splitlines()) < 30
    assert "scale" in clean.run("dvc", "params", "diff", "--all").stdout
