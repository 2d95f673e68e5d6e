"""JSON as this project writes it: what Python's reader takes beyond that is refused, and a hash is of the content."""

import json

import pytest

from gradsurgery.evidence.strict import loads, short


def test_a_document_is_read_as_json_has_it() -> None:
    assert loads('{"a": [1, 2.5, null, true, "x"], "b": {"a": 1}}') == {"a": [1, 2.5, None, True, "x"], "b": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[NaN]", "numbers must be finite, found NaN."),
        ("[-Infinity]", "numbers must be finite, found -Infinity."),
        ('{"a": 1, "b": 2, "a": 1}', "`a` must stand once in its block, found it twice."),
        ('{"a": {"b": 1, "b": 2}}', "`b` must stand once in its block, found it twice."),
        ("[" * 100_000 + "]" * 100_000, "JSON must be nested no deeper than can be read, found it is."),
        ("[" + "9" * 10_000 + "]", "4300"),
    ],
    ids=["nan", "infinity", "a key twice", "an inner key twice", "too deep", "too long a number"],
)
def test_what_only_python_reads_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        loads(text)


def test_what_is_no_json_says_where() -> None:
    with pytest.raises(json.JSONDecodeError) as refusal:
        loads('{"a": 1,\n "b": }')
    assert refusal.value.lineno == 2


def test_a_hash_is_of_the_content_and_not_of_the_order_of_keys() -> None:
    assert short({"a": 1, "b": [2, 3]}) == short({"b": [2, 3], "a": 1})
    assert len({short(one) for one in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, [2, 3], [3, 2])}) == 6
    assert len(short({})) == 16


def test_a_number_that_is_not_finite_has_no_hash() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        short({"a": float("inf")})
