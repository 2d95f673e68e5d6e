"""What the site takes from the ledger: claims with the numbers that are printed, and counts of their verdicts."""

import dataclasses

import pytest

from gradsurgery.ledger.judging import Finding
from gradsurgery.ledger.records import Answer, Record
from gradsurgery.report.numbers import Tally, by_paper, claims, tally

RECORD = Record(
    id="p/better", paper="p", version="1", cell="Table 1", statement="A is better than B", short="beats B", task="all",
    metric="accuracy, A minus B (points)", direction="higher", kind="difference", value=1.0, spread=None,
    spread_kind=None, margin=None, seeds=3, selection=None, data="d", network="n", origin="paper", twin=None,
    classes=None, doubtful=None, answered_by=Answer("q-a", "all.accuracy", "q-b"), unanswered=None, headline=True,
)  # fmt: skip


def finding(ours: str, verdict: str, **fields: object) -> Finding:
    return Finding(dataclasses.replace(RECORD, **fields), ours, "laptop, controlled", verdict)  # type: ignore[arg-type]


def test_a_claim_draws_the_numbers_that_it_prints() -> None:
    (claim,) = claims([finding("+0.50 [-0.50, +1.50] (n = 3)", "no difference detected")], {})
    assert (claim.effect, claim.n, claim.anchor, claim.short) == ("+0.50 [-0.50, +1.50]", "3", "better", "beats B")
    assert claim.drawn is not None
    assert claim.drawn.zero is not None
    assert claim.drawn.published == (claim.drawn.mean + (claim.drawn.high or 0)) / 2
    assert claim.source == "", "nothing of it is there to lead to"


@pytest.mark.parametrize(
    ("ours", "drawn"), [("-", False), ("2 of 5", True), ("0.9465", True), ("1.2; minus baseline +0.1", True)]
)
def test_every_way_of_printing_is_read(ours: str, drawn: bool) -> None:
    (claim,) = claims([finding(ours, "not run (why)", kind="level")], {})
    assert (claim.drawn is not None) == drawn
    assert claim.word == "not run"


def test_claims_are_counted_by_what_becomes_of_them() -> None:
    words = ["reproduced", "direction only", "no difference detected", "not reproduced", "diverged (seed 1, epoch 1)"]
    found = claims([finding("-", word) for word in words], {})
    assert tally(found) == Tally(holds=2, same=1, against=1, open=1)
    assert tally(found).tested == 4


def test_the_matrix_holds_headlines_and_no_paper_without_one() -> None:
    told = {"p": [finding("-", "reproduced"), finding("-", "reproduced", headline=False)], "q": []}
    assert {key: len(row) for key, row in by_paper(told, {}).items()} == {"p": 1}
