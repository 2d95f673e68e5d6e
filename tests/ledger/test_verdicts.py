"""The whole ledger, judged on made-up histories: every record has one of the fixed words, and none gets lost."""

import dataclasses
import json
from pathlib import Path

import pytest

from gradsurgery.ledger.judging import Ours
from gradsurgery.ledger.records import Answer
from gradsurgery.ledger.verdicts import find
from gradsurgery.ledger.verdicts import verdicts as verdicts_of
from gradsurgery.ledger.words import WORDS
from pipelines._evidence import read_histories
from tests.histories import published, scores_of


def test_every_record_has_one_verdict_of_the_fixed_words(findings) -> None:
    found = verdicts_of(findings)
    assert set(found) == {record.id for paper in published() for record in paper.records}
    assert all(entry["verdict"].startswith(WORDS) for entry in found.values())
    assert json.loads(json.dumps(found)) == found


def test_an_answered_record_names_experiment_metric_and_reason(findings) -> None:
    entry = verdicts_of(findings)["cagrad/fashion-cagrad-c0_5"]
    assert entry["experiment"] == "multi_fashion_mnist-cagrad-c0_5"
    assert entry["minus"] == "multi_fashion_mnist-mean"
    assert entry["why"].startswith("paired by seed, equal epochs")
    doubted = {r.id for paper in published() for r in paper.records if r.doubtful}
    assert {name for name, e in verdicts_of(findings).items() if e.get("doubtful")} == doubted
    twins = {r.id: r.twin for paper in published() for r in paper.records if r.answered_by and r.twin}
    assert {name: e["twin"] for name, e in verdicts_of(findings).items() if "twin" in e} == twins
    missing = verdicts_of(findings)["recon/conflict-recon"]
    assert missing["verdict"].startswith("not run (no history of multi_fashion_mnist_resnet-")


def test_a_record_that_asks_for_what_is_not_there_names_itself(checkout: Path) -> None:
    groups = read_histories(checkout / "reports/history")
    paper = next(p for p in published() if p.key == "cagrad")
    record = next(r for r in paper.records if r.id == "cagrad/fashion-mgda")
    wrong = dataclasses.replace(
        record, answered_by=Answer("multi_fashion_mnist-sum", "left.auc", "multi_fashion_mnist-mean")
    )
    message = "cagrad/fashion-mgda: `metric` must be one that multi_fashion_mnist-mean has"
    with pytest.raises(ValueError, match=message):
        find([dataclasses.replace(paper, records=(wrong,))], Ours(groups, scores_of(groups, {})))
