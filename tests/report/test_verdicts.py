"""The whole ledger, judged on made-up histories: every record has one of the fixed words, and none gets lost."""

import dataclasses
import json
from pathlib import Path

import pytest

from gradsurgery.ledger.findings import Finding
from gradsurgery.ledger.judging import Ours
from gradsurgery.ledger.records import Answer, Paper
from gradsurgery.ledger.verdicts import find
from gradsurgery.ledger.verdicts import verdicts as verdicts_of
from gradsurgery.ledger.words import WORDS
from gradsurgery.report import verdicts
from pipelines._evidence import read_histories, read_papers
from tests.histories import scores_of

FOLDER = Path(__file__).parents[2] / "data/published"


@pytest.fixture(scope="module")
def papers() -> list[Paper]:
    return read_papers(FOLDER)


@pytest.fixture
def findings(checkout: Path, papers: list[Paper]) -> dict[str, list[Finding]]:
    groups = read_histories(checkout / "reports/history")
    return find(papers, Ours(groups, scores_of(groups, {})))


def test_every_record_has_one_verdict_of_the_fixed_words(findings, papers) -> None:
    found = verdicts_of(findings)
    assert set(found) == {record.id for paper in papers for record in paper.records}
    assert all(entry["verdict"].startswith(WORDS) for entry in found.values())
    assert json.loads(json.dumps(found)) == found


def test_counts_add_up_to_the_records(findings, papers) -> None:
    table = verdicts.counts(findings)
    assert list(table["records"]) == [len(paper.records) for paper in papers]
    assert "diverged" not in table, "a column that says nothing is left out"
    assert (table[[word for word in WORDS if word in table]].sum(axis=1) == table["records"]).all()
    assert (table["claims and controls"] > 4).all()
    for row, paper in zip(table.to_dict("records"), papers, strict=True):
        assert row["with an experiment"] == sum(r.answered_by is not None for r in paper.records)
        assert row["doubtful"] == sum(r.doubtful is not None for r in paper.records)
        assert row["claims and controls"] == sum(r.id.count("/") == 1 for r in paper.records)


def test_an_answered_record_names_experiment_metric_and_reason(findings, papers) -> None:
    entry = verdicts_of(findings)["cagrad/fashion-cagrad-c0_5"]
    assert entry["experiment"] == "multi_fashion_mnist-cagrad-c0_5"
    assert entry["minus"] == "multi_fashion_mnist-mean"
    assert entry["why"].startswith("paired by seed, equal epochs")
    doubted = {r.id for paper in papers for r in paper.records if r.doubtful}
    assert {name for name, e in verdicts_of(findings).items() if e.get("doubtful")} == doubted
    twins = {r.id: r.twin for paper in papers for r in paper.records if r.answered_by and r.twin}
    assert {name: e["twin"] for name, e in verdicts_of(findings).items() if "twin" in e} == twins
    missing = verdicts_of(findings)["recon/conflict-recon"]
    assert missing["verdict"].startswith("not run (no history of multi_fashion_mnist_resnet-")


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


def test_a_record_that_asks_for_what_is_not_there_names_itself(checkout: Path, papers) -> None:
    groups = read_histories(checkout / "reports/history")
    paper = next(p for p in papers if p.key == "cagrad")
    record = next(r for r in paper.records if r.id == "cagrad/fashion-mgda")
    wrong = dataclasses.replace(
        record, answered_by=Answer("multi_fashion_mnist-sum", "left.auc", "multi_fashion_mnist-mean")
    )
    message = "cagrad/fashion-mgda: `metric` must be one that multi_fashion_mnist-mean has"
    with pytest.raises(ValueError, match=message):
        find([dataclasses.replace(paper, records=(wrong,))], Ours(groups, scores_of(groups, {})))
