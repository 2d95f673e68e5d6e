"""What a paper declares of its section is found by the paper's key, or refused."""

import dataclasses

import pytest

from gradsurgery.ledger.records import Paper
from gradsurgery.ledger.sections import Declared
from gradsurgery.report.section import declared
from gradsurgery.report.sources import Sources

OWN, OTHER = Declared("It helps."), Declared("It does not.")
PAPER = Paper("own", "t", "a", 2020, "1", "v1", (), (), section=OWN)


@pytest.fixture
def sources() -> Sources:
    silent = dataclasses.replace(PAPER, key="silent", section=None)
    papers = [dataclasses.replace(PAPER, key="other", section=OTHER), PAPER, silent]
    return Sources({}, {}, {}, papers, {}, {})


def test_a_section_is_found_by_its_papers_key(sources: Sources) -> None:
    assert declared(sources, "own") is OWN
    assert declared(sources, "other") is OTHER


@pytest.mark.parametrize("key", ["silent", "unknown"])
def test_a_paper_without_one_is_refused_by_name(sources: Sources, key: str) -> None:
    with pytest.raises(ValueError, match=f"`section` of {key} must be given in its published record, found none"):
        declared(sources, key)
