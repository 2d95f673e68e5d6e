"""Tables and words of a page: what a cell is, where it leads, and that nothing written is taken for HTML."""

from concurrent.futures import Future

import jinja2
import pandas as pd
import pytest

from gradsurgery.report.page import anchor, code, render, size, view
from gradsurgery.report.tables import source

FRAME = pd.DataFrame([
    {"method": source("p-a", "A"), "accuracy": "90.12 [89.80, 90.44]", "verdict": "not run (why)"},
    {"method": "B", "accuracy": "-", "verdict": "direction only"},
])  # fmt: skip


def test_a_table_knows_names_numbers_verdicts_and_links() -> None:
    shown = view(FRAME)
    assert [head.kind for head in shown.columns] == ["name", "number", "verdict"]
    first, second = shown.rows
    assert (first[0].text, first[0].target) == ("A", "history/p-a.jsonl")
    assert second[0].target is None
    assert [cell.kind for cell in first] == ["name", "", "verdict not-run"]
    assert second[2].kind == "verdict direction-only"


@pytest.mark.parametrize(("columns", "kind"), [(3, "stack"), (5, ""), (6, "wide")])
def test_a_table_says_how_a_phone_shows_it(columns: int, kind: str) -> None:
    assert view(pd.DataFrame([{f"c{i}": i for i in range(columns)}])).kind == kind


def test_names_between_backticks_are_code_and_all_else_is_escaped() -> None:
    assert code("as `joint` does, K < 3") == "as <code>joint</code> does, K &lt; 3"


def test_a_drawing_says_its_size_in_pixels() -> None:
    drawn = Future[bytes]()
    drawn.set_result(b'<svg width="72pt" height="36pt" viewBox="0 0 72 36">')
    assert size(drawn) == (96, 48)


def test_an_anchor_is_a_word_of_an_address() -> None:
    assert anchor("No difference, 95 % [a]") == "no-difference-95-a"


def test_what_a_context_lacks_is_refused() -> None:
    with pytest.raises(jinja2.UndefinedError, match="undefined"):
        render("data.html", {})
