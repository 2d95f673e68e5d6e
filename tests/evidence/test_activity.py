"""A method that did nothing is told from one that did something, and from one of which that is not known."""

import dataclasses

import pytest

from gradsurgery.evidence.activity import acted, acting
from tests.histories import as_run, image_run


@pytest.mark.parametrize(
    ("activity", "found"),
    [
        (None, None),
        ({}, None),
        ({"deviation": 0.4}, None),
        ({"share_changed": 0.0, "deviation": 0.0}, False),
        ({"share_changed": 0.01, "deviation": 0.0}, True),
        ({"resolutions": 0.0, "deviation": 0.7}, False),  # GCond that only smoothed
        ({"share_changed": 0.0, "layers_split": 0.2}, True),
        ({"weight_spread": 0.7, "share_changed": 0.0}, False),  # PCGrad on a problem that weighs its losses for all
        ({"weight_spread": 0.7}, True),
        ({"weight_spread": 0.0}, False),
        ({"share_changed": 0.0009}, False),
    ],
)
def test_who_acted(activity, found):
    run = as_run(image_run("p", "pcgrad", 0, 0.0))
    assert acted(dataclasses.replace(run, activity=activity)) is found


def test_how_often_is_known_where_it_was_counted():
    run = as_run(image_run("p", "pcgrad", 0, 0.0))
    for activity, share in ((None, None), ({"deviation": 0.4}, None), ({"share_resolved": 0.01}, 0.01)):
        assert acting(dataclasses.replace(run, activity=activity)) == share
