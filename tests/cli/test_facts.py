"""What the code says of a class, read from one made for the purpose."""

import inspect
from dataclasses import dataclass, field
from typing import Literal

import pytest

from gradsurgery.cli import _facts


@dataclass(frozen=True)
class Made:
    """One sentence
    on two lines.

    Source: somebody, 1999.

    It costs two passes. More is said here.

        d = sum

    Args:
        c: how much,
            or little.
        kind, other: two at once.

    Departures:
        1. None that counts.
    """

    c: float
    kind: Literal["a", "b"] = "a"
    other: list = field(default_factory=lambda: [1])

    def __post_init__(self):
        if self.c < 0:
            raise ValueError(f"`c` must be non-negative, found c = {self.c}.")


def test_a_docstring_is_taken_apart():
    found = _facts.sections(Made)
    assert found["lead"] == ["One sentence on two lines."]
    assert found["Source"] == ["somebody, 1999."]
    assert "It costs two passes. More is said here." in found["body"]
    assert [line for line in found["Departures"] if line] == ["    1. None that counts."]


def test_fields_that_are_explained_together_are_each_told():
    assert _facts.said_of(Made) == {"c": "how much, or little.", "kind": "two at once.", "other": "two at once."}


def test_defaults_and_what_must_be_given():
    assert _facts.defaults_of(Made) == {"c": inspect.Parameter.empty, "kind": "a", "other": [1]}


def test_a_range_is_what_the_type_or_the_refusal_says():
    assert _facts.range_of(Made, "made", "kind") == "one of 'a', 'b'"
    assert _facts.range_of(Made, "made", "c") == "non-negative"


def test_the_cost_of_a_rule_is_the_sentence_that_says_so():
    assert _facts.cost_of("rules", Made) == "It costs two passes."
    _, cls = _facts.find("sum")
    assert _facts.cost_of("aggregators", cls) == "one backward pass a step for all tasks"


def test_a_name_is_found_with_its_kind_and_a_wrong_one_with_the_nearest():
    kind, cls = _facts.find("dwa")
    assert (kind, cls.__name__) == ("balancers", "DWA")
    assert _facts.is_placebo("balancers", "placebo_permuted")
    assert not _facts.is_placebo("balancers", "dwa")
    with pytest.raises(ValueError, match=r"`NAME` must be one that .*, found 'dwb'; did you mean dwa"):
        _facts.find("dwb")
