"""A record beside our evidence: what stands in its place, and in words why the verdict follows."""

import dataclasses

from gradsurgery.ledger.findings import published_value
from tests.published import CLAIM


def test_published_values_say_what_a_reader_must_know() -> None:
    record = dataclasses.replace(CLAIM, kind="level", value=0.415, spread=0.007, spread_kind="interval")
    assert published_value(record) == "0.415 ± 0.007"
    assert published_value(dataclasses.replace(record, doubtful="copied")) == "0.415 ± 0.007 (doubtful)"
    assert published_value(dataclasses.replace(record, origin="recomputed")).endswith("(not printed; recomputed)")
    claim = dataclasses.replace(
        CLAIM, kind="difference", direction="lower", value=None, answered_by=None, unanswered="x"
    )
    assert published_value(claim) == "lower, not printed"
