"""`gradsurgery run`, `compare`, `report` and `why`, typed in a fresh folder outside the checkout, without a network."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradsurgery.cli import FAILED, WRONG, main
from pipelines._fingerprint import parts_of
from pipelines._params import load
from pipelines.commands import _imported
from pipelines.commands._names import Table, seeds_of
from tests.pipelines.conftest import Checkout

ROOT = Path(__file__).parents[2]
SEEDS = ["--seeds", "2"]
# IMTL-G as a newcomer writes it down, and what goes wrong with methods.
MINE = """\
import torch
from gradsurgery.aggregators.pcgrad import PCGrad

def imtl_g(J):
    units = torch.nn.functional.normalize(J, dim=1)
    D, U = J[:1] - J[1:], units[:1] - units[1:]
    alpha = (J[0] @ U.T) @ torch.linalg.pinv(D @ U.T)
    return torch.cat([1 - alpha.sum().reshape(1), alpha]) @ J

class Copy(PCGrad):
    pass

def wide(J):
    return J if len(J) == 2 else None

def blind(J):
    return J.mean(0) if J.shape[1] == 64 else J.mean(0) * float("nan")

seen = []
def late(J):
    seen.append(J)
    return J.mean(0) if len(seen) < 5 else J.mean(0)[0] / [0]
"""


class User:
    """Somebody with a folder of files, and the small checkout somewhere else."""

    def __init__(self, checkout: Checkout, folder: Path) -> None:
        self.checkout, self.folder = checkout, folder

    def types(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gradsurgery", *arguments, "--jobs", "1"]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.checkout.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def right(self, *arguments: str) -> str:
        done = self.types(*arguments)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def history(self, out: str, line: str) -> list[dict]:
        [path] = (self.folder / out / "reports/history").rglob(f"multi_mnist-{line}.jsonl")
        return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def user(checkout, tmp_path_factory):
    """Before anything was run: neither data nor runs are there."""
    clone = tmp_path_factory.mktemp("own") / "clone"
    shutil.copytree(
        checkout.root, clone, ignore=shutil.ignore_patterns("data/raw", "processed", "raw", "runs", "workspaces")
    )
    own = Checkout(clone, Path(checkout.environment["GRADSURGERY_MIRROR"]))
    own.environment["MPLBACKEND"] = "Agg"
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "mine.py").write_text(MINE, encoding="utf-8")
    made = User(own, folder)
    yield made
    assert own.run("git", "status", "--porcelain").stdout == ""  # whatever was typed here


@pytest.fixture(scope="module")
def compared(user):
    """What the first comparison printed, and its page."""
    said = user.right("compare", "mine:imtl_g", "pcgrad", "--problem", "multi_mnist", *SEEDS, "--out", "o")
    return said, (user.folder / "o/compare-imtl_g.html").read_text(encoding="utf-8")


def test_fewer_than_twenty_lines_are_a_method():
    assert len(MINE[: MINE.index("class Copy")].splitlines()) < 20


@pytest.mark.slow
def test_a_method_is_compared_paired_by_seed_with_an_interval_and_a_word(user, compared):
    said, page = compared
    own, other = (_by_seed(user.history("o", line)) for line in ("imtl_g", "pcgrad"))
    assert set(own) == set(other) == {0, 1}
    difference = 100 * np.mean([own[seed] - other[seed] for seed in own])
    [row] = re.findall(
        r"^pcgrad +accuracy, mean of tasks \(points\) +(\S+) \[(\S+), (\S+)\] +(\w+)", said, re.MULTILINE
    )
    assert float(row[0]) == pytest.approx(difference, abs=0.005)
    assert float(row[1]) <= float(row[0]) <= float(row[2])
    assert row[3] in ("better", "worse", "practically", "inconclusive")
    assert f"{row[0]} [{row[1]}, {row[2]}]" in page
    assert re.search(r"^mine:imtl_g +\d+\.\d\d \[.*\] +0, 1 +0 +\d+\.\d +trained here$", said, re.MULTILINE)


def _by_seed(histories):
    """The mean test accuracy at the epoch that validates best, from the file alone."""
    found = {}
    for line in histories:
        best = max(line["epochs"], key=lambda row: np.mean([row["val.left.accuracy"], row["val.right.accuracy"]]))
        found[line["seed"]] = np.mean([best["test.left.accuracy"], best["test.right.accuracy"]])
    return found


@pytest.mark.slow
def test_the_page_needs_no_other_file_and_says_how_to_do_it_again(compared):
    _, page = compared
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert "gradsurgery compare mine:imtl_g pcgrad --problem multi_mnist --seeds 2 --out o" in page
    assert "<svg" in page
    assert "mine:imtl_g on MultiMNIST" in page


@pytest.mark.slow
def test_it_trains_in_the_loop_of_all_others(user, compared):
    """Our own method by another name gives its numbers to the bit."""
    said = user.right("compare", "mine:Copy", "pcgrad", "--problem", "multi_mnist", *SEEDS, "--out", "o")
    assert re.search(r"^pcgrad .* [+-]0\.00 \[[+-]0\.00, [+-]0\.00\] ", said, re.MULTILINE)
    for own, other in zip(user.history("o", "copy"), user.history("o", "pcgrad"), strict=True):
        for part in ("epochs", "diagnostics", "activity", "examples", "data_sha256"):
            assert own[part] == other[part]


@pytest.mark.slow
def test_what_is_there_is_not_trained_again_until_the_code_behind_it_changes(user, compared):
    (user.folder / "helper.py").write_text("SCALE = 1.0\n", encoding="utf-8")
    (user.folder / "two.py").write_text(
        "import helper\ndef fn(J):\n    return helper.SCALE * J.sum(0)\n", encoding="utf-8"
    )
    command = ["run", "two:fn", "--problem", "multi_mnist", "--seeds", "1,", "--out", "o"]
    result = user.folder / "o/runs/multi_mnist-fn/seed-1.json"
    user.right(*command)
    first, made = user.history("o", "fn"), result.stat().st_mtime_ns
    assert [line["seed"] for line in first] == [1]
    assert "multi_mnist-fn.jsonl" in user.right(*command)
    assert result.stat().st_mtime_ns == made
    (user.folder / "helper.py").write_text("SCALE = 0.5\n", encoding="utf-8")
    user.right(*command)
    assert user.history("o", "fn")[0]["epochs"] != first[0]["epochs"]


@pytest.mark.slow
def test_committed_runs_are_taken_and_changed_settings_are_trained(user, compared):
    """The checkout holds pcgrad on seed 0 and 1; a comparison elsewhere trains its own method only."""
    root = user.checkout.root
    shutil.copytree(user.folder / "o/reports/history/smoke/pcgrad", root / "reports/history/smoke/pcgrad")
    shutil.copytree(user.folder / "o/reports/costs/smoke/pcgrad", root / "reports/costs/smoke/pcgrad")
    user.checkout.commit()
    command = ["compare", "mine:imtl_g", "pcgrad", "--problem", "multi_mnist", "--out", "p"]
    said = user.right(*command, *SEEDS)
    assert re.search(r"^pcgrad .* 0, 1 +0 +- +committed$", said, re.MULTILINE)
    assert not (user.folder / "p/runs/multi_mnist-pcgrad").exists()
    assert user.history("p", "pcgrad") == user.history("o", "pcgrad")
    said = user.right(*command, "--seeds", "0,1,2")
    assert re.search(r"^pcgrad .* 0, 1, 2 +0 +\d+\.\d +some committed$", said, re.MULTILINE)
    said = user.right(*command, "--seeds", "0,", "--set", "epochs=1", "--set", "lr=2e-3")
    assert re.search(r"^pcgrad .* 0 +0 +\d+\.\d +trained here$", said, re.MULTILINE)
    assert "one seed has no interval" in said
    assert {len(line["epochs"]) for name in ("imtl_g", "pcgrad") for line in user.history("p", name)} == {1}
    assert user.history("p", "pcgrad")[0]["declaration"]["settings"]["lr"] == 2e-3


def test_report_shows_every_scale_at_which_the_problem_was_run(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["report", "--problem", "multi_mnist"]) == 0
    said = capsys.readouterr().out
    assert [re.search(r"at scale (\w+);", part)[1] for part in said.split("MultiMNIST")[1:]] == ["laptop", "overnight"]


@pytest.mark.slow
def test_a_method_that_diverges_is_shown_as_what_it_is(user, compared):
    said = user.right("compare", "mine:blind", "pcgrad", "--problem", "multi_mnist", "--seeds", "0,", "--out", "o")
    assert re.search(r"^mine:blind +diverged \(seed 0, epoch \d\) +0 ", said, re.MULTILINE)
    assert "no difference can be taken" in said
    assert "diverged (seed 0" in (user.folder / "o/compare-blind.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("mine:wide", r"`mine:wide` must return a direction \(64,\) for J \(2, 64\), found \(2, 64\)\."),
        ("mine:imtl", r"`mine:imtl` must name something in mine, .*; did you mean imtl_g\?"),
        ("mein:imtl_g", r"`mein` must be a module, .*; did you mean mine\?"),
        ("gradsurgery.balancers.dwa:DWA", r".* must be a method on task gradients, found a balancer, .*"),
    ],
)  # fmt: skip
def test_a_fault_that_shows_at_once_is_one_sentence_before_any_work(typed, user, method, sentence):
    _refused(typed("compare", method, "sum", "--problem", "multi_mnist"), sentence, user)


@pytest.mark.slow
def test_a_fault_in_training_is_one_sentence_and_exit_code_1(user):
    done = user.types("compare", "mine:late", "sum", "--problem", "multi_mnist", "--seeds", "0,", "--out", "faults")
    assert done.returncode == FAILED
    sentence = (
        r"error: `mine:late` must return a direction for J \(2, \d+\), found TypeError at mine.py, line \d+ \(.*\)\. "
        r"What is finished is kept in .*faults\.\n"
    )
    assert re.search(f"(?m)^{sentence}", done.stderr), done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def typed(user, monkeypatch, capsys):
    """Types a command in this process, which spares the seconds that a new one takes to begin."""

    def types(*arguments):
        monkeypatch.chdir(user.folder)
        monkeypatch.setenv("GRADSURGERY_CHECKOUT", str(user.checkout.root))
        monkeypatch.setattr(sys, "path", [str(user.folder), *sys.path])
        sys.modules.pop("mine", None)
        return main([*arguments, "--out", "nothing"]), *capsys.readouterr()

    return types


def _refused(said, sentence, user):
    code, out, err = said
    assert (code, out) == (WRONG, "")
    assert re.fullmatch(f"error: {sentence}\n", err), err
    assert not (user.folder / "nothing").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "pcgrat", "--problem", "multi_mnist"], r"`METHOD` must be .*'pcgrat'; did you mean pcgrad.*\?"),
        (["run", "sum", "--problem", "multi_mnits"], r"`--problem` must be .*; did you mean multi_mnist\?"),
        (["run", "sum", "--problem", "multi_mnist", "--scale", "smok"], r"`--scale` must .*; did you mean smoke\?"),
        (["run", "sum", "--problem", "multi_mnist", "--set", "lrr=1"], r"`--set` must .*'lrr=1'; did you mean lr\?"),
        (["run", "sum", "--problem", "multi_mnist", "--set", "lr=x"], r".*`overlay.lr` must be a number, found 'x'\."),
        (["run", "sum", "--problem", "multi_mnist", "--seeds", "two"], r"`--seeds` must be .*found 'two'\."),
        (["run", "sum", "--problem", "multi_mnist", "--seeds", "1000,"], r".* must lie below 1000, .*, found 1000\."),
        (["run", "sum", "--problem", "multi_mnist", "--device", "cud"], r"`--device` must .*; did you mean cuda.*\?"),
        (["compare", "sum", "sum", "--problem", "multi_mnist"], r"`OTHER` must name another line .*"),
        (["run", "sum", "--problm", "multi_mnist"], r"`gradsurgery run`: .* required: --problem.*"),
        (["run", "sum", "--problem", "multi_mnist", "--sede", "1"], r"`--sede` .*; did you mean --seeds.*\?"),
    ],
)  # fmt: skip
def test_a_wrong_input_is_one_sentence_before_any_work(typed, user, arguments, sentence):
    _refused(typed(*arguments), sentence, user)


@pytest.mark.slow
def test_a_landscape_runs_too(user):
    command = ["run", "mean", "mine:Copy", "--problem", "cagrad_toy", "--set", "steps=400", "--out", "toy"]
    said = user.right(*command)
    assert re.search(r"^mine:Copy +1 +-?\d", said, re.MULTILINE)
    assert (user.folder / "toy/reports/history/smoke/own/cagrad_toy-copy.jsonl").is_file()


def test_the_committed_numbers_and_where_they_come_from(capsys, monkeypatch):
    monkeypatch.setenv("GRADSURGERY_CHECKOUT", str(ROOT))
    assert main(["report", "--problem", "multi_mnist"]) == 0
    out = capsys.readouterr().out
    metrics = json.loads((ROOT / "reports/metrics.json").read_text(encoding="utf-8"))
    minus = metrics["multi_mnist-pcgrad"]["minus_sum"]["all.accuracy"]["mean"]
    assert re.search(rf"^PCGrad .* \{100 * minus:+.2f} \[", out, re.MULTILINE)
    assert Path(re.findall(r"page: (.*)", out)[0]).is_file()
    assert main(["why", "multi_mnist-pcgrad"]) == 0
    assert "reports/history/laptop/pcgrad/multi_mnist-pcgrad.jsonl" in capsys.readouterr().out
    assert main(["why", "multi_mnist-pcgrat"]) == WRONG
    assert "did you mean multi_mnist-pcgrad" in capsys.readouterr().err


def test_names_stand_for_lines_families_and_methods_of_the_library():
    table = Table(ROOT, "multi_mnist", "laptop", [], None)
    assert table.lines(["pcgrad", "cagrad", "torchjd-upgrad", "cagrad-c0_8"]) == {
        "pcgrad": ["multi_mnist-pcgrad"], "cagrad": ["multi_mnist-cagrad-c0_5"],
        "torchjd-upgrad": ["multi_mnist-torchjd-upgrad"], "cagrad-c0_8": ["multi_mnist-cagrad-c0_8"],
    }  # fmt: skip
    assert table.usual() == ["sum", "pcgrad", "cagrad-c0_5", "sam_gs", "gcond-raw"]
    assert Table(ROOT, "qm9", "laptop", [], None).usual() == ["sum", "pcgrad", "cagrad-c0_5", "sam_gs", "gcond"]
    own = Table(ROOT, "census", "laptop", [], None).lines(
        ["mgda", "placebo_positive", "gradsurgery.aggregators.sum:Sum"]
    )
    assert own["gradsurgery.aggregators.sum:Sum"] == ["census-sum-own"]


@pytest.mark.parametrize(
    ("problem", "scale", "run"),
    [
        ("arml_500", "laptop", "paper"),
        ("multi_fashion", None, "smoke, overnight, paper"),
        ("census", "nowhere", None),
        ("nyuv2_twin", "overnight", "smoke"),
    ],
)
def test_a_scale_at_which_a_problem_is_not_run_is_refused_with_those_at_which_it_is(problem, scale, run):
    said = rf"run \({run}\), found {scale or 'laptop, which params.yaml says'}\.$" if run else "found 'nowhere'"
    with pytest.raises(ValueError, match=rf"^`--scale` must be .*{said}"):
        Table(ROOT, problem, scale, [], None)


def test_a_field_of_a_method_makes_a_line_that_says_so():
    table = Table(ROOT, "multi_mnist", "smoke", ["aggregator.c=0.2", "lr=0.01"], None)
    assert table.lines(["cagrad", "sum"]) == {
        "cagrad": ["multi_mnist-cagrad-c0_5-c0_2"], "sum": ["multi_mnist-sum"],
    }  # fmt: skip
    changed, plain = (table.params.experiments[f"multi_mnist-{key}"] for key in ("cagrad-c0_5-c0_2", "cagrad-c0_5"))
    assert (changed.declaration["aggregator"]["c"], plain.declaration["aggregator"]["c"]) == (0.2, 0.5)
    assert changed.declaration["settings"] == plain.declaration["settings"]
    assert changed.family == "cagrad"
    with pytest.raises(
        ValueError, match=r"fields are .*aggregator\.order, .*found 'aggregator\.ordr=fixed'; did you mean"
    ):
        Table(ROOT, "multi_mnist", "smoke", ["aggregator.ordr=fixed"], None).lines(["pcgrad"])


def test_a_line_that_needs_layer_scores_brings_the_run_that_makes_them():
    table = Table(ROOT, "multi_fashion_mnist_resnet", "smoke", [], None)
    [name] = table.lines(["recon-sum"])["recon-sum"]
    assert list(table.only([name]).experiments) == ["multi_fashion_mnist_resnet-sum-search", name]


def test_a_number_of_seeds_starts_with_the_problems_own():
    assert seeds_of(None, [0, 1]) is None
    assert seeds_of("1", [3, 4]) == [3]
    assert seeds_of("4", [3, 4]) == [3, 4, 5, 6]
    assert seeds_of("7,", [3, 4]) == [7]
    for wrong in ("", "x", "1-3", "-1", "0", "101", "1,,2"):
        with pytest.raises(ValueError, match="`--seeds` must be"):
            seeds_of(wrong, [0])


def test_no_setting_of_a_committed_line_moves():
    """A line that is only looked up has the fingerprint that `train` gives it."""
    table = Table(ROOT, "multi_mnist", "laptop", [], None)
    _imported.bring()
    theirs = load(ROOT / "params.yaml", "laptop").experiments
    for name in table.only(["multi_mnist-pcgrad", "multi_mnist-sum"]).experiments:
        own = table.params.experiments[name]
        assert parts_of(own, "laptop", "0", None) == parts_of(theirs[name], "laptop", "0", None)
        assert own.seeds == theirs[name].seeds
