"""The whole ledger, judged on made-up histories: every record has one of the fixed words, and none gets lost."""

from gradsurgery.ledger.words import WORDS
from gradsurgery.report import verdicts
from tests.histories import published


def test_counts_add_up_to_the_records(findings) -> None:
    table = verdicts.counts(findings)
    assert list(table["records"]) == [len(paper.records) for paper in published()]
    assert "diverged" not in table, "a column that says nothing is left out"
    assert (table[[word for word in WORDS if word in table]].sum(axis=1) == table["records"]).all()
    assert (table["claims and controls"] > 4).all()
    for row, paper in zip(table.to_dict("records"), published(), strict=True):
        assert row["with an experiment"] == sum(r.answered_by is not None for r in paper.records)
        assert row["doubtful"] == sum(r.doubtful is not None for r in paper.records)
        assert row["claims and controls"] == sum(r.id.count("/") == 1 for r in paper.records)


def test_the_table_of_a_paper_shows_claims_before_cells(findings) -> None:
    names = list(verdicts.table(findings["recon"])["record"])
    cells = [name.count("/") > 1 for name in names]
    assert cells == sorted(cells)
    assert any(cells)
    assert len(names) == sum(f.record.answered_by is not None for f in findings["recon"])
    assert verdicts.table([]).empty


def test_reasons_are_counted(findings) -> None:
    found = verdicts.reasons(findings["pcgrad"])
    assert next(iter(found)) == "its experiment was not run here"
    assert not any(reason.startswith("no history") for reason in found)
    assert sum(found.values()) == sum(f.verdict.startswith("not run") for f in findings["pcgrad"])
