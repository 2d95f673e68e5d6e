"""Discovery: names are file names, and whatever is wrong is said in one line."""

import pytest

from gradsurgery import available, build
from gradsurgery.core import discovery


def test_every_method_file_is_found():
    assert {"mean", "sum", "pcgrad", "cagrad", "sam_gs", "mgda"} <= set(available())


def test_build_makes_the_class_of_the_file():
    assert build("pcgrad", order="fixed").order == "fixed"


def test_a_whole_number_serves_where_a_number_is_asked():
    assert type(build("cagrad", c=1).c) is float


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("pcgard", {}, "must name one of"),
        ("pcgrad", {"ordre": "fixed"}, "`pcgrad.ordre` is no field of pcgrad; its fields are: "),
        ("pcgrad", {"order": "backwards"}, "`pcgrad.order` must be one of 'random', 'fixed', found 'backwards'."),
        ("cagrad", {"c": "much"}, "`cagrad.c` must be a number, found 'much'."),
        ("cagrad", {"c": True}, "`cagrad.c` must be a number, found True."),
        ("cagrad", {"c": -1.0}, "`c` must be"),
        ("cagrad", {"rescale": 3}, "`cagrad.rescale` must be one of 0, 1, 2, found 3."),
    ],
)
def test_bad_input_is_one_line_that_names_the_field(name, fields, says):
    with pytest.raises(ValueError, match=r".") as caught:
        build(name, **fields)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="`kind` must be one of aggregators"):
        discovery.available("optimizers")


def test_a_missing_field_is_named():
    with pytest.raises(ValueError, match=r"`static.weights` must be given, found nothing\."):
        discovery.build("balancers", "static")
