"""Scenes: the maps of the papers' data sets, and which may be zoomed."""

import dataclasses

import pytest

from gradsurgery.dense.geometry import Depth
from gradsurgery.dense.scenes import LIMIT, SCENES, UNIT, Scene


@pytest.mark.parametrize(("scene", "channels"), [("nyuv2", [13, 1, 3]), ("cityscapes", [7, 1])])
def test_maps_have_the_channels_of_mtans_tables(scene, channels):
    assert [task.channels for task in SCENES[scene].tasks.values()] == channels


def test_a_scene_with_a_distance_in_pixels_is_not_zoomed_and_others_are():
    assert {name: scene.zooms for name, scene in SCENES.items()} == {
        "camvid": False, "nyuv2": True, "cityscapes": True,
    }  # fmt: skip
    assert Scene({"depth": Depth()}).zooms


def test_every_distance_fits_into_a_byte():
    assert 0 < LIMIT / UNIT <= 255


def test_a_scene_is_not_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SCENES["camvid"].zooms = True
