"""Sketch: its numbers are read, and each is answered by an experiment that there is, or says why by none."""

from pathlib import Path

import pytest

from gradsurgery.ledger.reading import read
from gradsurgery.ledger.records import check_provenance
from pipelines._yaml import read_yaml
from pipelines.report import declared_experiments

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def paper():
    return read(read_yaml(ROOT / "data/published/sketch.yaml"))


def test_every_number_is_answered_or_explained(paper):
    answered = {record.id: record.answered_by is not None for record in paper.records}
    assert answered == {
        "sketch/beats-sum": True,
        "sketch/table-1/sum/left.accuracy": False, "sketch/table-1/sum/right.accuracy": False,
        "sketch/table-1/PCGrad/left.accuracy": True, "sketch/table-1/PCGrad/right.accuracy": True,
    }  # fmt: skip


def test_the_experiments_are_declared(paper):
    check_provenance([paper], declared_experiments(read_yaml(ROOT / "params.yaml")["problems"]))
