"""docs/library.md names what exists: links, functions, presets."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", TEXT))))
def test_links_resolve(link):
    assert (PAGE.parent / link).exists(), f"docs/library.md links to {link}, which does not exist."


def test_every_example_is_on_the_page():
    scripts = {path.name for path in (PAGE.parents[1] / "examples").iterdir() if path.suffix in (".py", ".ipynb")}
    assert scripts == set(re.findall(r"examples/([\w.]+\.(?:py|ipynb))", TEXT))


def test_the_code_on_the_page_is_python():
    for block in re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL):
        compile(block, "library.md", "exec")
    assert set(re.findall(r"from gradsurgery import ([\w, ]+)", TEXT)) == {
        "GradientSurgery, build", "aggregate, diagnose", "recon",
    }  # fmt: skip
