"""The commands of the wheel, typed as a user types them."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gradsurgery
from gradsurgery.cli import WRONG, _facts, main
from gradsurgery.core import discovery

ROOT = Path(__file__).parents[2]
BLOCKED = (
    "import sys\n"
    "for name in ('scipy', 'pandas', 'matplotlib', 'yaml', 'ruamel', 'jinja2', 'torchjd', 'psutil', 'mlflow'):\n"
    "    sys.modules[name] = None\n"
    "from gradsurgery.cli import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


def run(*arguments, folder=None):
    """Where nothing but torch, numpy and jaxtyping can be imported, as in the wheel's own environment."""
    environment = {**os.environ, "PYTHONPATH": str(Path(gradsurgery.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, *arguments], capture_output=True, text=True, cwd=folder, env=environment
    )


def said(capsys, *arguments):
    """Output, errors and exit code in this process."""
    code = main(arguments)
    return *capsys.readouterr(), code


def test_problems_are_listed_by_the_names_that_problem_takes(capsys, monkeypatch):
    monkeypatch.setenv("GRADSURGERY_CHECKOUT", str(ROOT))
    out, _, code = said(capsys, "list", "problems")
    assert code == 0
    assert re.search(r"^  multi_fashion_mnist_resnet +Multi-Fashion\+MNIST, ResNet$", out, re.MULTILINE)


def test_the_list_holds_every_leaf_once_and_placebos_apart(capsys):
    out, _, code = said(capsys, "list")
    assert code == 0
    for word, (kind, _) in _facts.KINDS.items():
        part = out[out.index(f"{word}: ") :].split("\n\n")
        for name in discovery.available(kind):
            placebo = _facts.is_placebo(kind, name)
            assert re.search(rf"^  {name} ", part[1 if placebo else 0], re.MULTILINE), name
            assert len(re.findall(rf"^  {name} ", out.partition("what --problem takes")[0], re.MULTILINE)) == 1
    assert (
        sum(_facts.is_placebo(kind, name) for kind, _ in _facts.KINDS.values() for name in discovery.available(kind))
        == 3
    )


@pytest.mark.parametrize("kind", discovery.KINDS)
def test_every_leaf_is_described_with_all_its_fields(capsys, kind):
    for name in discovery.available(kind):
        if kind == "networks" and name in discovery.available("balancers"):
            continue
        out, err, code = said(capsys, "describe", name)
        assert (code, err) == (0, ""), name
        for field in discovery.fields_of(discovery.find(kind, name)):
            assert field in ("arrays", "K") or re.search(rf"^  {field}( = .*| \(must be given\))?: ", out, re.MULTILINE)


def test_a_description_gives_paper_cost_default_and_range(capsys):
    out, _, _ = said(capsys, "describe", "cagrad")
    assert "arXiv 2110.14048" in out
    assert "cost    K backward passes a step" in out
    assert "  c = 0.5: non-negative\n" in out
    assert "  solver = 'exact': one of 'exact', 'official'\n" in out
    assert "cost    one backward pass a step" in said(capsys, "describe", "sum")[0]
    assert "cost    An epoch costs K + 1 passes over the data.\n" in said(capsys, "describe", "dr_mgf")[0]
    assert "a placebo" in said(capsys, "describe", "placebo_random")[0]


def test_what_is_asked_of_the_environment_is_what_the_wheel_asks_for(tmp_path):
    for arguments in (["list"], ["describe", "pcgrad"], ["bench", "pcgrad", "--parameters", "100", "--seconds", "1"]):
        done = run(*arguments, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "pcgrad" in done.stdout


def test_bench_times_a_function_of_ones_own_beside_ours(tmp_path):
    (tmp_path / "mine.py").write_text("def fn(J):\n    return J.mean(0)\n", encoding="utf-8")
    done = run("bench", "mine:fn", "./mine.py:fn", "mean", "--tasks", "4", "--parameters", "50", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("K = 4, P = 50,")
    rows = [re.fullmatch(r"(\S+) +(\d+\.\d{3}) +\d+\.\d{3}", line) for line in done.stdout.splitlines()[3:]]
    assert [row[1] for row in rows] == ["mine:fn", "./mine.py:fn", "mean"]
    assert all(0 < float(row[2]) < 1000 for row in rows)


def test_weights_of_a_wrong_shape_are_said(tmp_path):  # in a process without jaxtyping's checks, as a user has it
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom gradsurgery.core.interfaces import Weighting\n"
        "class Odd(Weighting):\n    def __call__(self, G, state, generator):\n        return np.ones(len(G) + 1), {}\n",
        encoding="utf-8",
    )
    done = run("bench", "mine:Odd", folder=tmp_path)
    assert done.stderr == "error: `mine:Odd` must return an array of weights (2,), found (3,).\n"
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lits"], r"`COMMAND` must be one of .*, found 'lits'; did you mean list\?"),
        (["list", "methodz"], r"`KIND` must be one of .*, found 'methodz'; did you mean methods\?"),
        (["describe", "pcgrat"], r"`NAME` must be .*, found 'pcgrat'; did you mean pcgrad .*\?"),
        (["bench", "pcgrat"], r".*, found 'pcgrat'; did you mean pcgrad .*\?"),
        (["bench", "pcgrad", "--task", "3"], r"`--task` is no option of .*; did you mean --tasks.*\?"),
        (["bench", "pcgrad", "--tasks", "two"], r"`--tasks` must be a whole number from 1 on, found 'two'\."),
        (["bench", "pcgrad", "--device", "abacus"], r"`--device` must be one of this machine, found 'abacus': .*"),
        (["bench", "json:dumpz"], r"`json:dumpz` must name something in json, .*; did you mean dump .*\?"),
        (["describe"], r"`gradsurgery describe`: .*NAME.*"),
    ],
)
def test_a_wrong_input_is_one_sentence_and_exit_code_2(capsys, arguments, sentence):
    out, err, code = said(capsys, *arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(f"error: {sentence}\n", err), err


def test_a_command_that_needs_more_packages_says_how_to_get_them():
    done = run("compare", "pcgrad", "sum", "--problem", "multi_mnist", folder=ROOT)
    assert (done.returncode, done.stdout) == (WRONG, "")
    assert re.fullmatch(
        r"error: `gradsurgery compare` needs the extra `repro`, pip install 'gradsurgery\[repro\]' or `make install` "
        r"in .*, found: .*scipy.*\n",
        done.stderr,
    )


@pytest.mark.parametrize("command", ["run", "compare", "report", "why"])
def test_what_needs_the_checkout_says_what_to_do_without_one(tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gradsurgery.cli._checkout.__file__", str(tmp_path / "a/b/c/d/e.py"))
    monkeypatch.delenv("GRADSURGERY_CHECKOUT", raising=False)
    _, err, code = said(capsys, command, "x", "--problem", "y")
    assert code == 2
    assert err.startswith(f"error: `gradsurgery {command}` needs a checkout of the repository")
    assert "make install" in err
    monkeypatch.setenv("GRADSURGERY_CHECKOUT", str(tmp_path))
    assert said(capsys, command)[1].startswith("error: `GRADSURGERY_CHECKOUT` must be a checkout")


def test_help_shows_every_command_and_teaches_by_examples(capsys):
    assert main([]) == 2
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    for out in capsys.readouterr().out.split("usage: ")[1:]:
        assert "gradsurgery compare my_mod:fn pcgrad --problem multi_mnist" in out
        for command in ("list", "describe", "run", "compare", "report", "why", "bench", "completions"):
            assert re.search(rf"^    {command}\b", out, re.MULTILINE)


def test_a_reader_that_has_enough_is_no_error():
    command = f"{sys.executable} -m gradsurgery list | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_the_shell_completes_commands_options_and_names(tmp_path):
    script = run("completions", folder=tmp_path).stdout
    (tmp_path / "complete.sh").write_text(
        script + 'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gradsurgery; echo "${COMPREPLY[@]}"; }\n'
        "ask gradsurgery des\nask gradsurgery bench --t\nask gradsurgery describe pcg\n", encoding="utf-8",
    )  # fmt: skip
    done = subprocess.run(["bash", str(tmp_path / "complete.sh")], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["describe", "--tasks --threads", "pcgrad"], done.stderr


def test_the_entry_point_is_there():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    [place] = re.findall(r'\[project\.scripts\]\ngradsurgery = "(.*)"', text)
    module, _, name = place.partition(":")
    assert importlib.util.find_spec(module) is not None
    assert getattr(importlib.import_module(module), name) is main
