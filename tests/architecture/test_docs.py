"""Pages are written from docstrings, and docstrings have the parts that a page needs."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import pytest

from gradsurgery.core import discovery

SCRIPT = Path(__file__).parents[2] / "docs" / "generate.py"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_pages_are_up_to_date(generate):
    assert generate.stale() == [], "run `python docs/generate.py`"


def test_a_changed_a_missing_and_a_left_over_page_are_found(generate, tmp_path, monkeypatch):
    for name, text in generate.pages().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(generate, "PAGES", tmp_path)
    assert generate.stale() == []
    (tmp_path / "pcgrad.md").write_text("something else", encoding="utf-8")
    (tmp_path / "cagrad.md").unlink()
    (tmp_path / "gone.md").write_text("of a method that was removed", encoding="utf-8")
    assert generate.stale() == ["cagrad.md", "gone.md", "pcgrad.md"]


@pytest.mark.parametrize("name", discovery.available("aggregators"))
def test_a_method_says_where_it_comes_from_and_where_it_departs(generate, name):
    cls = discovery.find("aggregators", name)
    first, *rest = generate.docstring(cls)
    assert first.endswith("."), "the first paragraph is one sentence"
    text = "\n".join(rest)
    assert "Source:" in text
    assert "Departures:" in text
    for field in dataclasses.fields(cls):
        assert f"    {field.name}: " in text, f"`{field.name}` is missing under Args"


def test_a_class_without_a_docstring_is_refused(generate):
    @dataclasses.dataclass(frozen=True)
    class Bare:
        c: float = 0.5

    with pytest.raises(ValueError, match="must have a docstring"):
        generate.docstring(Bare)
