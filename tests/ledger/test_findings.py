"""A record beside our evidence: what stands in its place, and in words why the verdict follows."""

import dataclasses
from typing import Any

from gradsurgery.evidence.power import decides
from gradsurgery.evidence.statistics import Summary
from gradsurgery.evidence.words import ALONE, EQUAL, INCONCLUSIVE, SMALLER
from gradsurgery.ledger.findings import Finding, is_cell, published_value, why
from gradsurgery.ledger.protocol import Protocol
from gradsurgery.ledger.records import Answer, Record
from tests.histories import difference
from tests.published import CLAIM


def test_published_values_say_what_a_reader_must_know() -> None:
    record = dataclasses.replace(CLAIM, kind="level", value=0.415, spread=0.007, spread_kind="interval")
    assert published_value(record) == "0.415 ± 0.007"
    assert published_value(dataclasses.replace(record, doubtful="copied")) == "0.415 ± 0.007 (doubtful)"
    assert published_value(dataclasses.replace(record, origin="recomputed")).endswith("(not printed; recomputed)")
    assert published_value(dataclasses.replace(record, origin="control")).endswith("(of the claim that it controls)")
    claim = dataclasses.replace(
        CLAIM, kind="difference", direction="lower", value=None, answered_by=None, unanswered="x"
    )
    assert published_value(claim) == "lower, not printed"


PROTOCOL = Protocol(0.05, 0.8, {}, 1000, {}, "hash")
DIFFERENCE = dataclasses.replace(
    CLAIM, kind="difference", direction="higher", value=0.5, answered_by=Answer("p-pcgrad", "all.accuracy", "p-sum")
)


def finding(
    low: float, high: float, record: Record = DIFFERENCE, effect: float | None = None, **fields: Any
) -> Finding:
    contrast = difference("pcgrad", low, high, **fields)
    return Finding(record, "-", "laptop, controlled", "-", contrast=contrast, effect=effect)


def test_a_bound_and_the_sign_of_a_difference_are_part_of_the_published_value() -> None:
    bound = dataclasses.replace(CLAIM, kind="at_least", value=3.0)
    assert published_value(bound) == "at least 3"
    assert published_value(dataclasses.replace(bound, kind="at_most")) == "at most 3"
    assert published_value(CLAIM) == "2"
    assert published_value(DIFFERENCE) == "+0.5"


def test_a_cell_is_known_by_its_table_and_its_row() -> None:
    assert not is_cell(dataclasses.replace(CLAIM, id="p/claim"))
    assert is_cell(dataclasses.replace(CLAIM, id="p/table/row/metric"))


def test_what_is_denied_is_gained_where_the_difference_is_small() -> None:
    assert finding(0.01, 0.03).gain.mean == 0.02
    denied = dataclasses.replace(DIFFERENCE, kind="no_difference")
    gain = finding(0.01, 0.03, denied).gain
    assert (gain.low, gain.high) == (-0.03, -0.01)


def test_the_standing_of_a_finding_stands_between_its_place_and_other_scales() -> None:
    made = dataclasses.replace(finding(0.01, 0.03), confirmatory=True, beside="; at laptop -")
    assert made.place == "laptop, controlled, confirmatory; at laptop -"
    assert finding(0.01, 0.03).place == "laptop, controlled"


def test_smaller_says_where_zero_is_out_on_the_other_side() -> None:
    told = why(finding(-0.03, -0.01, effect=0.05), SMALLER, PROTOCOL, {})
    assert "zero is out on the other side" in told
    assert "of the published" not in told
    assert "at most 3.00 of the published 5.00" in why(finding(0.01, 0.03, effect=0.05), SMALLER, PROTOCOL, {})


def test_what_is_inconclusive_says_how_many_seeds_and_seconds_would_decide() -> None:
    made = finding(-0.03, 0.05, effect=0.02)
    assert made.contrast is not None
    n = decides(0.02, made.contrast.spread)
    assert n is not None
    costs = {name: {"seeds": {"0": {"seconds": 2.0}, "1": {"seconds": 4.0}}} for name in ("p-pcgrad", "p-sum")}
    told = why(made, INCONCLUSIVE, PROTOCOL, costs)
    assert told.endswith(f"; {n} seeds would decide, {2 * 3 * (n - 3):,} more seconds"), "three seconds a seed of each"
    assert why(made, INCONCLUSIVE, PROTOCOL, {}).endswith(f"; {n} seeds would decide")


def test_without_a_size_nothing_would_decide_and_a_small_test_set_never() -> None:
    assert "nothing says how many seeds would decide" in why(finding(-0.03, 0.05), INCONCLUSIVE, PROTOCOL, {})
    noisy = finding(-0.03, 0.05, effect=0.001, noise=0.02)
    assert "the test set is too small for the effect" in why(noisy, INCONCLUSIVE, PROTOCOL, {})


def test_a_reason_begins_with_the_pairing_and_ends_with_what_the_word_needs() -> None:
    smaller = why(finding(0.001, 0.003, effect=0.02), SMALLER, PROTOCOL, {})
    assert smaller.startswith("paired by seed, equal epochs; the test examples are not in the interval; at most 0.30 ")
    assert "at most 0.30 of the published 2.00" in smaller, "in points"
    equal = why(finding(-0.001, 0.003, margin=0.005), EQUAL, PROTOCOL, {})
    assert "its 90 % interval lies within 0.50" in equal
    alone = finding(0.0, 0.0, difference=Summary(1, 0.1, None, None, None))
    assert why(alone, ALONE, PROTOCOL, {}) == "", "one repeat says nothing"
