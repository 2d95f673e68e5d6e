"""Discovery: names are file names, and whatever is wrong is said in one line."""

import inspect

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
        ("recon", {}, "found 'recon', one of the transforms."),
        ("uncertainty", {}, "found 'uncertainty', one of the balancers."),
        ("pcgard", {}, "must name one of"),
        ("pcgrad", {"ordre": "fixed"}, "`pcgrad.ordre` is no field of pcgrad; its fields are: "),
        ("pcgrad", {"order": "backwards"}, "`pcgrad.order` must be one of 'random', 'fixed', found 'backwards'."),
        ("cagrad", {"c": "much"}, "`cagrad.c` must be a number, found 'much'."),
        ("cagrad", {"c": True}, "`cagrad.c` must be a number, found True."),
        ("cagrad", {"c": -1.0}, "`c` must be"),
        ("cagrad", {"c": float("nan")}, "`cagrad.c` must be a finite number, found nan."),
        ("cagrad", {"c": float("inf")}, "`cagrad.c` must be a finite number, found inf."),
        ("cagrad", {"c": 10**400}, "`cagrad.c` must be a finite number, found 1000"),
        ("sam_gs", {"max_norm": float("inf")}, "`sam_gs.max_norm` must be a finite number or null, found inf."),
        ("gcond", {"thresholds": [-0.8, float("nan"), 0.0]}, "`gcond.thresholds` must be a list of a finite number"),
        ("pcgrad", {"kind": "x"}, "`pcgrad.kind` is no field of pcgrad"),
        ("pcgrad", {"ordr": "fixed"}, "its fields are: reduction, order, include_self; did you mean order?"),
        ("pcgard", {}, "found 'pcgard'; did you mean pcgrad"),
        ("torchjd", {"method": "upgrad", "options": {"c": [1]}}, "`torchjd.options` must be a block of named values"),
        ("cagrad", {"rescale": 3}, "`cagrad.rescale` must be one of 0, 1, 2, found 3."),
    ],
)
def test_bad_input_is_one_line_that_names_the_field(name, fields, says):
    with pytest.raises(ValueError, match=r".") as caught:
        build(name, **fields)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_whole_numbers_become_numbers_at_any_depth():
    assert [type(t) for t in build("gcond", thresholds=[-1, -0.5, 0]).thresholds] == [float] * 3
    assert type(build("sam_gs", max_norm=2).max_norm) is float
    assert build("sam_gs", max_norm=None).max_norm is None


def test_the_nearest_names_come_first_and_a_stranger_has_none():
    known = ["multi_mnist", "multi_fashion", "census", "cagrad_toy"]
    assert discovery.nearest("multi_mnits", known)[0] == "multi_mnist"
    assert discovery.nearest("CENSUS", known) == ["census"]
    assert discovery.nearest("toy", known) == ["cagrad_toy"]
    assert discovery.nearest("x" * 10**6, known) == []
    assert discovery.did_you_mean(None, known) == discovery.did_you_mean("", known) == "."


def test_every_problem_says_what_its_prepare_reads():
    for problem in discovery.available("problems"):
        fields = inspect.signature(discovery.preparation(problem)).parameters
        assert "seed" in fields
    with pytest.raises(ValueError, match=r"`prepare\.seed` must be given"):
        discovery.make(discovery.preparation("overlay"), "prepare", {"left": "a", "right": "a"})


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="`kind` must be one of aggregators"):
        discovery.available("optimizers")


def test_a_missing_field_is_named():
    with pytest.raises(ValueError, match=r"`static.weights` must be given, found nothing\."):
        discovery.build("balancers", "static")


def test_fields_of_a_dataclass_that_a_class_takes_stand_beside_its_own():
    fields = {"arrays": {}, "network": {"name": "lenet"}, "epochs": 2, "milestones": [1]}
    assert discovery.build("problems", "overlay", **fields).epochs == 2
    assert {"network", "epochs", "milestones"} <= discovery.fields_of(discovery.find("problems", "overlay")).keys()
    with pytest.raises(ValueError, match=r"`overlay\.epochs` must be given, found nothing"):
        discovery.build("problems", "overlay", arrays={}, network={"name": "lenet"})
    with pytest.raises(ValueError, match=r"`overlay\.training` is no field of overlay"):
        discovery.build("problems", "overlay", **fields, training={})
