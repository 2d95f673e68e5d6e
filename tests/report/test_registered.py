"""The protocol's page: what was registered, how much of it is there, and margins in the unit of their metric."""

import dataclasses

import pytest

from gradsurgery.ledger.protocol import Design, Protocol
from gradsurgery.report.registered import page

DESIGN = Design("pcgrad/better", "overnight", 3, lines=("p-pcgrad", "p-sum"))
PROTOCOL = Protocol(0.05, 0.8, {"accuracy": 0.005, "auc": 0.002}, 1000, {"pcgrad": (DESIGN,)}, "hash")


@pytest.mark.parametrize("protocol", [None, dataclasses.replace(PROTOCOL, designs={})])
def test_where_nothing_was_registered_the_page_is_empty(protocol: Protocol | None) -> None:
    assert set(page(protocol, {"pcgrad/better": 3}, [{"what": "alpha"}]).values()) == {None}


def test_a_design_says_its_lines_its_seeds_and_how_many_are_there() -> None:
    (row,) = page(PROTOCOL, {"pcgrad/better": 2}, [])["designs"].to_dict("records")
    assert row == {
        "paper": "PCGrad", "claim": "better", "scale": "overnight", "compares": "p-pcgrad with p-sum",
        "seeds": "1000 to 1002", "rule": "fixed n", "there": "2 of 3",
    }  # fmt: skip
    assert page(PROTOCOL, {}, [])["designs"]["there"].tolist() == ["0 of 3"]


def test_margins_are_told_in_points_where_the_metric_is_in_per_cent() -> None:
    rows = page(PROTOCOL, {}, [])["margins"].to_dict("records")
    assert rows == [
        {"metric": "accuracy", "margin": "0.5", "unit": "points"},
        {"metric": "ROC-AUC", "margin": "0.002", "unit": "-"},
    ]


def test_changes_are_shown_where_there_are_any() -> None:
    assert page(PROTOCOL, {}, [])["changed"] is None
    assert page(PROTOCOL, {}, [{"what": "alpha"}])["changed"]["what"].tolist() == ["alpha"]
