"""What a page shows of one paper: its claims, its section, and what is known against its numbers."""

import dataclasses
import json

import pandas as pd

from gradsurgery.evidence.history import parse
from gradsurgery.ledger.findings import Finding
from gradsurgery.ledger.records import Answer, Paper
from gradsurgery.report.output import Output
from gradsurgery.report.paper_page import entry
from gradsurgery.report.section import Section, Sheet
from gradsurgery.report.sources import Sources
from tests.report.test_numbers import NOTHING, RECORD, SUMMARY

PAPER = Paper("p", "A title", "Authors", 2020, "1", "1", (RECORD,), ())


def finding(record_id: str, **fields: object) -> Finding:
    record = dataclasses.replace(RECORD, id=record_id, **fields)  # type: ignore[arg-type]
    return Finding(record, "50.00 [49.00, 51.00] (n = 3)", "laptop", "inconclusive", "why", SUMMARY)


def test_claims_and_cells_are_told_apart_and_a_doubt_of_a_table_is_told_once() -> None:
    cells = [
        finding(
            f"p/table/{row}/a.accuracy", kind="level", cell=f"Table 1, row {row}", doubtful="no seeds", headline=False
        )
        for row in ("A", "B")
    ]
    unrun = finding("p/unrun", answered_by=None, unanswered="too large", headline=False, cell="Table 2")
    out = Output()
    made = entry("p", PAPER, [finding("p/better"), *cells, unrun], None, NOTHING, out)
    assert [claim.anchor for claim in made["claims"]] == ["better"]
    assert made["counts"] == [("inconclusive", 1)]
    assert len(made["answered"]) == 3
    assert made["doubts"] == ["Table 1: no seeds"]
    assert made["ledger"] == {"records": 4, "reasons": {}, "recomputed": 0, "flaws": 0}
    assert set(out.files) == {"tables/p-ledger.csv", "tables/p-ledger.md"}


def test_a_section_without_a_paper_has_tables_and_no_ledger() -> None:
    sheet = Sheet("controls-t", "A table", pd.DataFrame([{"a": 1}]))
    made = entry("controls", None, [], Section("claim", "ran", "found", sheets=[sheet]), NOTHING, Output())
    assert made["name"] == "Controls: is it the mechanism?"
    assert [shown["title"] for shown in made["sheets"]] == ["A table"]
    assert (made["ledger"], made["answered"], made["claims"]) == (None, None, [])


def test_a_claim_leads_to_the_history_that_answers_it(made_up) -> None:
    record = made_up("multi_fashion_mnist", "sum", 0, 0.0)
    groups = {"multi_fashion_mnist-sum": parse([json.dumps(record)], "made up")}
    answer = Answer("multi_fashion_mnist-sum", "left.accuracy", "multi_fashion_mnist-sum")
    told = dataclasses.replace(finding("p/better", answered_by=answer), scale="laptop")
    made = entry("p", PAPER, [told], None, Sources(groups, {}, {}, [], {}, {}), Output())
    assert made["claims"][0].source == "history/laptop/multi_fashion_mnist-sum.jsonl"
