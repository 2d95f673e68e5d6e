"""Numbers as DVC and people write them, doubled names, merged blocks, and contents that are no YAML."""

import json
import math
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines._yaml import check_plain, parse, read_yaml

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-05", 1e-5), ("1E-05", 1e-5), ("1e5", 1e5), ("1E5", 1e5), ("+1e3", 1e3), ("-1e-3", -1e-3), ("1e+05", 1e5),
        (".5", 0.5), ("5.", 5.0), ("+.5", 0.5), ("1.e5", 1e5), ("1_000", 1000), ("+7", 7), ("0.000_01", 1e-5),
        ("010", 10), ("'1e-05'", "1e-05"), ('"1e5"', "1e5"), ("'7'", "7"), ("1e", "1e"), ("yes", "yes"),
        ("1:30", "1:30"), ("true", True), ("null", None), ("1.2.6", "1.2.6"),
    ],
)  # fmt: skip
def test_a_number_is_what_dvc_reads_too(text, value):
    from dvc.utils.serialize import parse_yaml

    found = parse(f"x: {text}\n", "params.yaml")["x"]
    assert (type(found), found) == (type(value), value)
    assert parse_yaml(f"x: {text}\n", "params.yaml")["x"] == value


def _digits(x):
    sign, digits, exponent = Decimal(repr(x)).as_tuple()
    return "-" * sign, "".join(map(str, digits)), exponent


def _plain_exponent(x):
    sign, digits, exponent = _digits(x)
    return f"{sign}{digits}e{exponent}"


def _capital(x):
    sign, digits, exponent = _digits(x)
    return f"{sign or '+'}{digits}E{exponent:+03d}"


def _as_dvc(x):
    text = f"{x:e}"
    mantissa, exponent = text.split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"


FORMS = {
    "1e-3": (_plain_exponent, str),
    "+1E-03": (_capital, lambda n: f"{n:+d}"),
    "1e-03": (_as_dvc, str),
    "1_000": (lambda x: f"{x!r}_0" if "." in repr(x) and "e" not in repr(x) else repr(x), lambda n: f"{n:_}"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_number_of_params_yaml_may_be_written_so(form):
    real, whole = FORMS[form]
    document, count = read_yaml(PARAMS), 0

    def written(value):
        nonlocal count
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(key)}: {written(entry)}" for key, entry in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(written, value)) + "]"
        if type(value) in (int, float):
            count += 1
            return real(value) if type(value) is float else whole(value)
        return json.dumps(value)

    # as JSON, where 1 is not 1.0
    assert json.dumps(parse(written(document), "params.yaml")) == json.dumps(document)
    assert count > 300
    print(f"\n{form}: {count} numbers")


def test_a_name_that_stands_twice_is_refused_with_its_line():
    text = PARAMS.read_text(encoding="utf-8")
    start = text.index("scale: laptop\n")
    for doubled, line in (
        (text + "scale: paper\n", text.count("\n") + 1),
        (text.replace("scale: laptop\n", "scale: laptop\nscale: paper\n", 1), text[:start].count("\n") + 2),
    ):
        with pytest.raises(
            ValueError, match=rf'^params\.yaml:{line}: must be valid YAML, found: found duplicate key "scale"'
        ):
            parse(doubled, "params.yaml")


def test_a_doubled_line_of_the_table_is_refused():
    text = PARAMS.read_text(encoding="utf-8")
    line = next(each for each in text.splitlines() if each.startswith("  pcgrad: {family: "))
    with pytest.raises(ValueError, match='found duplicate key "pcgrad"'):
        parse(text.replace(line, f"{line}\n{line}", 1), "params.yaml")


def test_a_merged_block_may_be_overridden():
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3}\nc: {<<: *a, x: 5}\nd: {<<: [*b, *a]}\n"
    document = parse(text, "params.yaml")
    assert (document["c"], document["d"]) == ({"x": 5, "y": 2}, {"x": 1, "y": 3})


@pytest.mark.parametrize(
    "text",
    ["scale: [laptop\n", "a: *nothing\n", "a: !!python/object:os.system 1\n", "a: 2001-99-99\n", "\0",
     "a\n  b: 1\n- c\n", "a: 1\n\tb: 2\n", "a: " + "[" * 3000, "a: " + "9" * 5000],
)  # fmt: skip
def test_what_is_no_yaml_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match=r"^params\.yaml(:\d+)?: must be valid YAML, found: .*\.$") as refused:
        parse(text, "params.yaml")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_what_cannot_be_read_is_refused_by_name(tmp_path):
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(ValueError, match=r"params\.yaml must be a file that can be read, found: Is a directory\."):
        read_yaml(tmp_path / "params.yaml")
    (tmp_path / "latin").write_bytes(b"a: \xe9\n")
    with pytest.raises(ValueError, match=r"latin must be text in UTF-8, found .* at byte 3\."):
        read_yaml(tmp_path / "latin")


def test_only_plain_finite_values_with_texts_for_names_pass():
    check_plain("", {"a": {"b": [1, 2.0, "c", True, None]}})
    circle = {"b": []}
    circle["b"].append(circle)
    for value, says in (
        ({"a": {"b": [1.0, math.nan]}}, "`a.b.1` must be finite, found nan."),
        ({"a": {"b": -math.inf}}, "`a.b` must be finite, found -inf."),
        ({"a": {3: 1}}, "`a` must have texts for names, found 3."),
        ({"a": parse("2001-01-01", "x")}, "`a` must be a text, a number, true, false or null, found datetime.date"),
        ({"a": circle}, "`a.b.0` must not hold itself"),
    ):
        with pytest.raises(ValueError, match="`") as refused:
            check_plain("", value)
        assert says in str(refused.value)
