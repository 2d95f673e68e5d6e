"""The README's and the tutorial's code must run as printed, and every path that they name must exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
TUTORIAL = (ROOT / "docs/tutorial.md").read_text()


def test_the_readme_has_python_to_run():
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS)
def test_python_runs_and_writes_gradients(block):
    scope: dict = {}
    exec(compile(block, "README.md", "exec"), scope)
    assert all(p.grad is not None for p in [*scope["trunk"].parameters(), *scope["heads"].parameters()])


def test_the_tutorial_runs_from_top_to_bottom(capsys):
    scope: dict = {}
    for block in re.findall(r"```python\n(.*?)```", TUTORIAL, flags=re.DOTALL):
        exec(compile(block, "tutorial.md", "exec"), scope)
    said = capsys.readouterr().out
    assert -1 <= float(re.search(r"cosine ([+-][\d.]+)", said)[1]) <= 1
    assert "pcgrad" in said


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_resolve(link):
    assert (ROOT / link).exists(), f"README.md links to {link}, which does not exist."


def test_the_makefile_has_every_target_the_readme_names():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make ([a-z]+)", README)) - {"and", "no"}
    assert named <= targets
