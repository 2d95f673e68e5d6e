"""What the tree promises: imports run one way, files stay small, names say what is inside."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from gradsurgery.core import discovery

ROOT = Path(__file__).parents[2]
CODE = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])
CATCH_ALL = {"utils", "util", "common", "misc", "helpers", "helper", "tools", "base", "core_utils", "shared", "stuff"}
LIMIT = 200  # lines: the style guide's ceiling; methods aim at 40 to 120
# Longer when the rule was first checked. These ceilings may be lowered and lines removed, nothing may be added.
OVER = {
    "pipelines/_tracking.py": 225,
    "pipelines/train.py": 235,
    "src/gradsurgery/aggregators/gcond.py": 300,
    "src/gradsurgery/core/learner.py": 300,
    "src/gradsurgery/core/surgery.py": 275,
    "src/gradsurgery/networks/recommender.py": 300,
    "src/gradsurgery/problems/census.py": 220,
    "src/gradsurgery/problems/landscape.py": 260,
    "src/gradsurgery/problems/synthetic.py": 210,
    "src/gradsurgery/evidence/scores.py": 220,
    "src/gradsurgery/report/figures.py": 275,
}


def _name(path):
    return str(path.relative_to(ROOT))


def test_imports_run_one_way():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("path", CODE, ids=_name)
def test_a_file_is_small_and_named_for_what_it_holds(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= OVER.get(_name(path), LIMIT)
    assert path.stem.strip("_") not in CATCH_ALL


@pytest.mark.parametrize("path", [p for p in CODE if p.stat().st_size], ids=_name)
def test_a_file_starts_by_saying_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", CODE, ids=_name)
def test_no_machine_is_named(path):
    text = path.read_text(encoding="utf-8")
    for place in ("home", "root", "work", "tmp"):
        assert f"/{place}/" not in text


@pytest.mark.parametrize("kind", ["aggregators", "balancers"])
def test_every_method_says_source_arguments_and_departures(kind):
    for name in discovery.available(kind):
        text = discovery.find(kind, name).__doc__ or ""
        assert text.strip().splitlines()[0].endswith("."), f"{name}: the first line is one sentence"
        missing = [part for part in ("Source:", "Departures:") if part not in text]
        assert not missing, f"{kind}/{name}.py lacks {missing}"


@pytest.mark.parametrize("kind", discovery.KINDS)
def test_every_file_of_a_kind_holds_one_public_class(kind):
    for name in discovery.available(kind):
        assert discovery.find(kind, name).__module__ == f"gradsurgery.{kind}.{name}"


def test_the_tests_mirror_the_methods():
    for kind in ("aggregators", "balancers"):
        tests = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests" / kind).glob("test_*.py"))
        for name in discovery.available(kind):
            assert name in tests, f"no test in tests/{kind} mentions {name}"


def test_who_opens_a_module_finds_its_tests():
    """`a/b.py` has `tests/a/test_b.py`, its name without a leading underscore, for all but few."""
    source = ROOT / "src/gradsurgery"
    modules = [
        path.relative_to(source) for path in source.rglob("*.py") if path.stem.strip("_") not in ("init", "main")
    ]
    without = [
        path for path in modules if not (ROOT / "tests" / path.with_name(f"test_{path.name.lstrip('_')}")).exists()
    ]
    assert len(without) <= 0.15 * len(modules), f"{len(without)} of {len(modules)}: {', '.join(map(str, without))}"
