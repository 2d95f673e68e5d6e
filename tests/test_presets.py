"""Presets: whole, buildable, sourced, and the same as what params.yaml runs under the same name."""

import dataclasses
from pathlib import Path

import pytest

from gradsurgery import available, build, presets
from gradsurgery.core import discovery
from pipelines._table import read_method
from pipelines._yaml import read_yaml

METHODS = read_yaml(Path(__file__).parents[1] / "params.yaml")["methods"]
CASES = [(method, preset) for method in available() for preset in presets.available(method)]
_FIRST = {"pcgrad": "reduction", "cagrad": "c", "sam_gs": "gamma", "gcond": "ema_beta"}  # a field of each, and a value
_OTHER = {"pcgrad": "mean", "cagrad": 0.33, "sam_gs": 0.33, "gcond": 0.33}  # that no preset has
# A line of params.yaml, the preset that says the same, and what differs between the two on purpose.
LINES = [
    ("pcgrad", ("pcgrad", "data"), set()),
    ("cagrad-c0_5", ("cagrad", "data"), set()),
    ("cagrad-c0_2", ("cagrad", "data"), {"c"}),
    ("sam_gs", ("sam_gs", "data"), set()),
    ("sam_gs", ("sam_gs", "paper"), set()),
    ("sam_gs", ("sam_gs", "official"), {"gamma", "beta2"}),
    ("sam_gs-toy", ("sam_gs", "toy"), set()),
    ("sam_gs-literal", ("sam_gs", "literal"), {"eps_in_denominator"}),
    ("gcond", ("gcond", "data"), set()),
    ("gcond-published", ("gcond", "paper"), {"previous"}),
]


@pytest.mark.parametrize(("method", "preset"), CASES)
def test_a_preset_names_every_field_and_its_source(method, preset):
    found = presets.of(method, preset)
    assert set(found.fields) == {field.name for field in dataclasses.fields(discovery.find("aggregators", method))}
    built = build(method, preset=preset)
    assert all(getattr(built, name) == value for name, value in found.fields.items())
    assert any(mark in found.source for mark in ("arXiv", " at ", "params.yaml"))


def test_the_seven_papers_aggregators_have_paper_official_and_data():
    assert {method for method, _ in CASES} == {"cagrad", "gcond", "pcgrad", "sam_gs"}
    for method in {method for method, _ in CASES}:
        assert presets.available(method)[:3] == ["paper", "official", "data"]


@pytest.mark.parametrize(("line", "preset", "differing"), LINES)
def test_params_say_the_same(line, preset, differing):
    declared = dict(read_method(f"methods.{line}", METHODS[line], METHODS)["aggregator"])
    assert declared.pop("name") == preset[0]
    ours, theirs = build(preset[0], **declared), build(preset[0], preset=preset[1])
    names = [field.name for field in dataclasses.fields(ours)]
    assert {name for name in names if getattr(ours, name) != getattr(theirs, name)} == differing


def test_fields_go_over_the_preset():
    assert build("cagrad", preset="paper", c=0.2) == build("cagrad", c=0.2, rescale=0, scale_by_num_tasks=False)


@pytest.mark.parametrize(("method", "preset"), CASES)
def test_settings_are_called_by_the_preset_that_they_are(method, preset):
    fields = presets.of(method, preset).fields
    assert preset in presets.named(method, fields)
    assert preset not in presets.named(method, {**fields, _FIRST[method]: _OTHER[method]})


def test_what_has_no_preset_has_no_name():
    assert presets.named("mgda", {}) == []


@pytest.mark.parametrize(
    ("method", "preset", "said"),
    [
        ("cagrad", "offical", r"one of paper, official, data, toy for cagrad, found 'offical'; did you mean official"),
        ("mgda", "paper", r"`preset` must be left out for mgda, which has none, found 'paper'"),
        ("cagrd", "paper", r"did you mean cagrad or"),
    ],
)
def test_what_does_not_exist_is_named(method, preset, said):
    with pytest.raises(ValueError, match=said):
        build(method, preset=preset)
