"""docs/library.md names what exists: links, functions, presets."""

import importlib
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


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL))
def test_the_code_is_python_and_imports_what_exists(block):
    compile(block, "library.md", "exec")
    for package, names in re.findall(r"from (gradsurgery[\w.]*) import ([\w, ]+)", block):
        module = importlib.import_module(package)
        for name in names.split(", "):
            assert hasattr(module, name) or importlib.import_module(f"{package}.{name}")
