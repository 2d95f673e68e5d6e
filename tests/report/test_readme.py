"""The README's generated block: between its markers and nowhere else."""

import dataclasses

import pytest

from gradsurgery.ledger.findings import Finding
from gradsurgery.ledger.records import Record
from gradsurgery.report.readme import END, START, matrix, with_block, with_block_of


def test_the_block_is_replaced_and_the_rest_stays() -> None:
    made = with_block(f"before {START} old {END} after", [])
    assert made.startswith(f"before {START}\n\n")
    assert made.endswith(f"{END} after")
    assert "old" not in made


def test_every_paper_is_a_row_with_its_claims_by_verdict() -> None:
    record = Record(
        id="p/one", paper="pcgrad", version="v1", cell="Table 1", statement="A beats B", short="beats B", task="left",
        metric="accuracy", direction="higher", kind="difference", value=1.0, spread=None, spread_kind=None, margin=None,
        seeds=None, selection=None, data="d", network="n", origin="paper", twin=None, doubtful=None,
        answered_by=None, unanswered="no data", headline=True,
    )  # fmt: skip
    other = dataclasses.replace(record, id="c/two", paper="cagrad")
    control = dataclasses.replace(record, id="p/three", origin="control")
    found = [
        Finding(record, "+0.2", "laptop", "smaller than published"), Finding(record, "-", "", "not run (no data)"),
        Finding(control, "+0.3", "laptop", "reproduced"), Finding(other, "+0.4", "laptop", "not run (no data)"),
        Finding(dataclasses.replace(record, origin="recomputed"), "+0.5", "laptop", "opposite"),
    ]  # fmt: skip
    table = matrix(found).set_index("paper")
    assert list(table.index) == ["[PCGrad](reports/papers/pcgrad.html)", "[CAGrad](reports/papers/cagrad.html)"]
    assert list(table["its claims"]) == ["1 smaller than published, 1 opposite, 1 not run", "1 not run"], (
        "recomputed or not"
    )
    assert list(table["our controls"]) == ["1 reproduced", "-"]
    assert list(table["ours [95 % interval]"]) == ["+0.2", "+0.4"]
    assert next(iter(table["the first that compares methods"])) == "A beats B: *smaller than published*"


def test_a_block_is_taken_over_from_another_text() -> None:
    assert with_block_of(f"a {START} old {END} b", f"c {START} new {END} d") == f"a {START} new {END} b"


@pytest.mark.parametrize("text", ["nothing", f"{START}", f"{START}{START}{END}"])
def test_markers_must_stand_there_once(text: str) -> None:
    with pytest.raises(ValueError, match="must appear once in the README"):
        with_block(text, [])
