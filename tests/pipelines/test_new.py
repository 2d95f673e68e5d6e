"""`gradsurgery new`: what it writes works from end to end, and nothing that was there is changed."""

import difflib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gradsurgery.cli import WRONG, main
from pipelines.commands.new import FILES, PARAMS, TEMPLATES, with_blocks

ROOT = Path(__file__).parents[2]
PARAMS_TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """This tree with its own params.yaml, without what was run."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    root = tmp_path_factory.mktemp("new") / "clone"
    for name in listed:
        if name and not name.startswith(("reports/", "docs/", "benchmarks/")) and (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    return root


@pytest.fixture
def typed(clone, monkeypatch, capsys):
    def types(*arguments):
        monkeypatch.setenv("GRADSURGERY_CHECKOUT", str(clone))
        return main(["new", *arguments]), *capsys.readouterr()

    return types


def _run(clone, *command):
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": f"{clone / 'src'}",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
    }
    done = subprocess.run([sys.executable, *command], cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_every_template_works_from_end_to_end(typed, clone):
    """A new method on a new problem, trained and reported, and all three tests."""
    names = {"problem": "two_digits", "method": "my_lengths", "paper": "my_paper"}
    for kind, name in names.items():
        code, out, err = typed(kind, name)
        assert (code, err) == (0, "")
        for path in FILES[kind].values():
            assert (clone / path.format(name)).is_file()
            assert f"written: {path.format(name)}\n" in out
    tests = [path.format(names[kind]) for kind, files in FILES.items() for path in files.values() if "test_" in path]
    assert len(tests) == 3
    assert " passed" in _run(clone, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    command = ["compare", "my_lengths", "sum", "--problem", "two_digits", "--seeds", "2", "--jobs", "1"]
    out = _run(clone, "-m", "gradsurgery", *command, "--scale", "laptop", "--out", "mine")
    digit = re.search(r"^my_lengths +([\d.]+) ", out, re.MULTILINE)
    assert digit, out
    assert float(digit[1]) > 80.0, "by chance it were 10"
    assert (clone / "mine/compare-my_lengths.html").is_file()


def test_nothing_but_own_lines_is_written():
    whole = PARAMS_TEXT
    for file in PARAMS.values():
        blocks = (TEMPLATES / file).read_text(encoding="utf-8")
        changed = [line for line in difflib.ndiff(whole.splitlines(), with_blocks(whole, blocks, "sketch").splitlines())
                   if line[0] in "+-?"]  # fmt: skip
        assert [line[2:] for line in changed] == [line for line in blocks.splitlines() if line.startswith(" ")]
        assert {line[0] for line in changed} == {"+"}


def test_a_file_of_another_form_is_refused():
    blocks = (TEMPLATES / "method.yaml").read_text(encoding="utf-8")
    flow = yaml.safe_dump({"methods": {"sum": {}}}, default_flow_style=True)
    with pytest.raises(ValueError, match=r"`methods` of params\.yaml must be a block of indented lines"):
        with_blocks(flow, blocks, "sketch")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["problm", "x"], "`KIND` must be .*'problm'; did you mean problem"),
        (["problem", "My-Digits"], "`NAME` must be a word of a-z, 0-9 and _ .* found 'My-Digits'"),
        (["method", "class"], "`NAME` must be a word .* found 'class'"),
        (["method", "pcgrad"], "`NAME` must be new, found 'pcgrad' among the aggregators"),
        (["problem", "multi_mnist"], "`NAME` must be new in `problems` of params.yaml, found 'multi_mnist'"),
        (["paper", "cagrad"], "`NAME` must be new, found "),
    ],
)  # fmt: skip
def test_a_wrong_name_is_one_sentence_and_nothing_is_written(typed, clone, arguments, sentence):
    before = set(clone.rglob("*.py")), (clone / "params.yaml").read_bytes()
    code, out, err = typed(*arguments)
    assert (code, out) == (WRONG, "")
    assert re.match(f"error: {sentence}", err)
    assert (set(clone.rglob("*.py")), (clone / "params.yaml").read_bytes()) == before
