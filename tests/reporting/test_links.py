"""Every row of the committed page that holds numbers of ours leads to what they were computed from."""

import re
from pathlib import Path

import pandas as pd
import pytest

from gradsurgery.report.tables import source

PAGE = Path(__file__).parents[2] / "reports/index.html"

# Tables without a link in every row, known by their first columns, and why.
EXCEPTIONS = {
    ("paper", "claim"): "a section without a headline claim gives its sentence, whose numbers stand in its own tables",
    ("paper", "records"): "counts of records",
    ("problem", "asked for"): "read from the declarations of a whole problem",
    ("data set", "licence"): "no result",
    ("cores", "device"): "no result",
    ("method", "mean rank", "n (blocks)"): "a row sums up many problems, whose own tables have the links",
    ("method", "n", "sum better"): "likewise",
    ("problem", "data set", "blocks"): "ranks of the methods of a problem, whose own table has the links",
}
# Rows that stand for many histories, by how their first cell starts.
SUMS = ("static weights, best of",)

Table = tuple[str, list[str], list[str]]  # heading, columns, rows as HTML


def tables(page: str) -> list[Table]:
    found, heading = [], ""
    for part in re.finditer(r"<h[23][^>]*>(.*?)</h[23]>|<summary>(.*?)</summary>|<table.*?</table>", page, re.DOTALL):
        heading = part[1] or part[2] or heading
        if part[0].startswith("<table"):
            columns = re.findall(r'<button type="button">(.*?)</button>', part[0])
            found.append((heading, columns, re.findall(r"<tr>(.*?)</tr>", part[0].split("<tbody>")[1], re.DOTALL)))
    return found


def exception(columns: list[str]) -> tuple[str, ...]:
    return next((known for known in EXCEPTIONS if tuple(columns[: len(known)]) == known), ())


def unlinked(page: str) -> list[str]:
    """Rows that lead nowhere and are no exception, by the heading over their table."""
    missing = []
    for heading, columns, rows in tables(page):
        if exception(columns):
            continue
        for row in rows:
            cells = [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]
            numbers = any(re.search(r"\d", cell) for cell in cells)
            ours = "published only" not in cells[0] and not cells[0].startswith(SUMS)
            if numbers and ours and not re.search(r'href="(history|costs|study)/', row):
                missing.append(f"{heading}: {cells[0]}")
    return missing


def test_every_number_of_ours_leads_to_its_history() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(tables(page)) > 50
    assert unlinked(page) == []
    assert {exception(columns) for _, columns, _ in tables(page)} >= set(EXCEPTIONS), "no exception outlives its table"
    targets = set(re.findall(r'href="((?:history|costs|study)/[^"]*)"', page))
    assert [to for to in sorted(targets) if not (PAGE.parent / to).is_file()] == []


@pytest.mark.parametrize(
    ("cell", "missing"),
    [("<td>0.5</td>", ["Made up: sum"]), ('<td><a href="history/a.jsonl">0.5</a></td>', []), ("<td>-</td>", [])],
)
def test_a_row_without_a_link_is_found(cell: str, missing: list[str]) -> None:
    head = '<th><button type="button">method</button></th><th><button type="button">accuracy</button></th>'
    page = f"<h3>Made up</h3><table><tr>{head}</tr><tbody><tr><td>sum</td>{cell}</tr></tbody></table>"
    assert unlinked(page) == missing


def test_a_linked_cell_reads_as_its_text() -> None:
    cell = source("p-sum", "sum")
    assert cell == "sum"
    assert cell != source("p-sum", "PCGrad")
    assert cell != 3
    frame = pd.DataFrame([{"method": cell, "n": 3}, {"method": source("p-pcgrad", "PCGrad"), "n": 2}])
    assert frame["method"][0].target == "history/p-sum.jsonl", "pandas keeps the link"
    assert frame.set_index("method").loc["PCGrad", "n"] == 2
    assert frame.to_csv(index=False) == "method,n\nsum,3\nPCGrad,2\n"
