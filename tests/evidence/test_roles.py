"""Roles of lines: each kind has its own fields, and what is missing or out of place is refused by name."""

import re
from typing import Any

import pytest

from gradsurgery.evidence.roles import ALONE, KINDS, Role, read_role


@pytest.mark.parametrize("kind", KINDS)
def test_a_role_of_every_kind_is_read_and_written_alike(kind: str) -> None:
    fields = {} if kind in ALONE else {"of": "pcgrad"}
    fields |= {"base": "sum"} if kind == "equal_compute" else {}
    assert read_role("role", {"kind": kind, **fields}).record() == {"kind": kind, **fields}


def test_a_record_leaves_out_what_it_does_not_say() -> None:
    assert Role("study").record() == {"kind": "study"}
    assert Role("placebo", "pcgrad").record() == {"kind": "placebo", "of": "pcgrad"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"kind": "sham"}, "`r.kind` must be one of study, baseline, repeat, null"),
        ("study", "`r.kind` must be one of study"),  # the name alone is no block
        (None, "found None"),
        ({"kind": "placebo"}, "`r.of` must name a line for kind placebo, found None."),
        ({"kind": "control", "of": 3}, "`r.of` must name a line for kind control, found 3."),
        ({"kind": "equal_compute", "of": "pcgrad"}, "`r.base` must name a line for kind equal_compute, found None."),
        ({"kind": "baseline", "of": "sum"}, "`r.of` is no field of kind baseline; its fields are: kind."),
        ({"kind": "null", "of": "sum", "base": "sum"}, "`r.base` is no field of kind null; its fields are: kind, of."),
    ],
)
def test_a_wrong_role_is_refused_by_its_place(value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        read_role("r", value)
