"""Frozen dataclasses as JSON and back: every kind of field survives, and what is no such document is refused."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gradsurgery.evidence.documents import decode, encode


@dataclasses.dataclass(frozen=True)
class Inner:
    value: float
    name: str | None


@dataclasses.dataclass(frozen=True)
class Outer:
    pair: tuple[int, float]
    many: Sequence[Inner]
    by_name: Mapping[str, Inner]
    maybe: Inner | None = None


WHOLE = Outer((1, 2.5), [Inner(0.5, "a"), Inner(1.5, None)], {"x": Inner(2.0, "b")}, Inner(3.0, "c"))


@pytest.mark.parametrize("given", [WHOLE, dataclasses.replace(WHOLE, maybe=None, many=[], by_name={})])
def test_what_is_written_as_json_is_read_again(given: Outer) -> None:
    assert decode(Outer, json.loads(json.dumps(encode(given)))) == given


def test_numbers_keep_six_significant_digits_and_whole_ones_all() -> None:
    assert encode({1: 0.123456789, "n": 123456789}) == {"1": 0.123457, "n": 123456789}
    assert encode((1234567.0, True)) == [1234570.0, True]


def test_a_whole_number_where_a_fraction_belongs_comes_back_as_one() -> None:
    found = decode(Inner, {"value": 1, "name": None})
    assert isinstance(found.value, float)


@pytest.mark.parametrize(
    ("document", "refusal"),
    [
        ({"value": 1.0}, KeyError),  # a field is missing
        ({"value": None, "name": None}, TypeError),  # no number
        ([1.0, "a"], TypeError),  # no block of named values
    ],
)
def test_another_document_is_refused(document: Any, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        decode(Inner, document)


def test_a_pair_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        decode(Outer, encode(WHOLE) | {"pair": [1]})
