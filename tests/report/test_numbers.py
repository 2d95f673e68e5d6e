"""What the site takes from the ledger: claims with the numbers that are printed, and counts of their verdicts."""

import dataclasses

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.statistics import Summary
from gradsurgery.ledger.findings import Finding
from gradsurgery.ledger.records import Answer, Record
from gradsurgery.report.numbers import by_paper, claims, quotable, words
from gradsurgery.report.sources import Sources

RECORD = Record(
    id="p/better", paper="p", version="1", cell="Table 1", statement="A is better than B", short="beats B", task="all",
    metric="accuracy, A minus B (points)", direction="higher", kind="difference", value=1.0, spread=None,
    spread_kind=None, margin=None, seeds=3, selection=None, data="d", network="n", origin="paper", twin=None,
    doubtful=None, answered_by=Answer("q-a", "all.accuracy", "q-b"), unanswered=None, headline=True,
)  # fmt: skip


SUMMARY = Summary(3, 0.50, 0.004, 0.49, 0.51)
NOTHING = Sources({}, {}, {}, [], {}, {})


def finding(ours: str, verdict: str, **fields: object) -> Finding:
    return Finding(dataclasses.replace(RECORD, **fields), ours, "laptop, controlled", verdict)  # type: ignore[arg-type]


def contrast(verdict: tuple[float, float, float] = (0.01, -0.01, 0.03), **fields: str) -> Contrast:
    mean, low, high = verdict
    named = {"family": "sum", "problem": "q", "method": "a", "minus": "b", "metric": "all.accuracy"} | fields
    return Contrast(**named, higher=True, difference=Summary(3, mean, 0.01, low, high), budget="equal epochs")


def test_a_difference_is_drawn_in_the_units_of_the_paper_and_beside_zero() -> None:
    told = finding("+1.00 [-1.00, +3.00] (n = 3)", "inconclusive")
    (claim,) = claims([dataclasses.replace(told, contrast=contrast())], NOTHING)
    assert (claim.effect, claim.n, claim.anchor, claim.short) == ("+1.00 [-1.00, +3.00]", 3, "better", "beats B")
    assert claim.drawn is not None
    assert claim.drawn.zero is not None
    assert claim.drawn.published == claim.drawn.mean, "one point of accuracy, as the paper has it"
    assert claim.source == "", "nothing of it is there to lead to"
    decided = dataclasses.replace(
        told, contrast=contrast(), scale="overnight", confirmatory=True, beside="; at laptop -"
    )
    (claim,) = claims([decided], NOTHING)
    assert decided.place == "laptop, controlled, confirmatory; at laptop -", "its own standing before what others say"
    assert (claim.where, claim.standing, claim.beside) == ("laptop, controlled", "confirmatory", "; at laptop -")
    assert claim.source == "history/overnight/q-a.jsonl", "the runs that decided, not those of the report's scale"


def test_a_level_is_drawn_without_a_zero_and_a_count_between_none_and_all() -> None:
    told = dataclasses.replace(finding("50.00 [49.00, 51.00] (n = 3)", "not run (why)", kind="level"), level=SUMMARY)
    (claim,) = claims([told], NOTHING)
    assert claim.drawn is not None
    assert claim.drawn.zero is None
    assert claim.word == "not run"
    counted = finding("2 of 5", "reproduced", kind="count", answered_by=Answer("q-a", "solved"))
    landscape = {"q-a": {"landscape": {"solved": 2, "starts": 5}}}
    (claim,) = claims([counted], Sources({}, landscape, {}, [], {}, {}))
    assert (claim.effect, claim.n) == ("2 of 5", None)
    assert claim.drawn is not None


def test_claims_are_counted_by_what_becomes_of_them() -> None:
    names = ["reproduced", "opposite", "opposite", "not exercised", "diverged (seed 1, epoch 1)"]
    found = claims([finding("-", word) for word in names], NOTHING)
    assert words(found) == [("reproduced", 1), ("opposite", 2), ("not exercised", 1), ("diverged", 1)]
    ours = claims([finding("-", "opposite", origin="control")], NOTHING)
    assert [claim.control for claim in (*found, *ours)] == [False] * 5 + [True]


def test_the_matrix_holds_headlines_and_no_paper_without_one() -> None:
    told = {"p": [finding("-", "reproduced"), finding("-", "reproduced", headline=False)], "q": []}
    assert {key: len(row) for key, row in by_paper(told, NOTHING).items()} == {"p": 1}


def test_what_the_matrix_does_not_show_is_quoted_after_what_it_does() -> None:
    aside = dataclasses.replace(finding("+1", "reproduced", headline=False), confirmatory=True)
    made = [aside, finding("+2", "opposite", origin="control"), finding("+3", "direction only")]
    said = quotable(claims([dataclasses.replace(one, contrast=contrast()) for one in made], NOTHING))
    assert [text.split(": ")[1].split(",")[0] for text in said] == ["direction only", "opposite", "reproduced"]


def test_three_sentences_are_quotable_and_controls_come_last() -> None:
    made = [
        finding("-", "not run (why)"), finding("+1", "inconclusive", origin="control"), finding("+2", "opposite"),
        finding("+3", "smaller than published"), dataclasses.replace(finding("+4", "reproduced"), confirmatory=True),
    ]  # fmt: skip
    said = quotable(claims([dataclasses.replace(one, contrast=contrast()) for one in made], NOTHING))
    assert [text.split(": ")[1].split(",")[0] for text in said] == ["reproduced", "opposite", "smaller than published"]
    assert said[0] == (
        "A is better than B (Table 1): reproduced, accuracy, A minus B (points) +4 (n = 3), published +1; laptop, "
        "controlled, confirmatory."
    )
