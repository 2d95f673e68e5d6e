"""Layers over training as pictures: groups leave no layer out, and every line is what its name says."""

import numpy as np
import pytest

from gradsurgery.evidence.observed import (
    CURVATURE,
    over_training,
    values,
)
from gradsurgery.report import observed_figures
from tests.observing import See


def test_many_layers_are_drawn_as_groups_that_leave_none_out() -> None:
    names = [f"l{i}" for i in range(41)]
    groups = observed_figures.grouped(names)
    assert len(groups) == observed_figures.LINES
    assert [i for group in groups for i in group.members] == list(range(41))
    assert groups[0].text == "l0 to l5"
    assert [group.text for group in observed_figures.grouped(names[:3])] == ["l0", "l1", "l2"]


def test_a_groups_curvature_is_the_sum_and_its_cosine_the_mean_of_its_layers(see: See) -> None:
    group = see({"sum": -0.2}, sizes=[50] * 16)["sum"]
    figure = observed_figures.over_layers(group)
    cosine, _, bend = figure.axes
    lines = [line for line in bend.lines if len(np.atleast_1d(line.get_ydata())) == observed_figures.PARTS]
    total = np.sum([line.get_ydata() for line in lines], axis=0)
    shares = over_training(group, lambda run: values(run, CURVATURE), observed_figures.PARTS)
    assert total == pytest.approx(shares.mean(axis=0).sum(axis=1))
    drawn = [line for line in cosine.lines if len(np.atleast_1d(line.get_ydata())) == observed_figures.PARTS]
    assert len(drawn) == observed_figures.LINES
    assert all(-0.25 < y < -0.15 for line in drawn for y in np.asarray(line.get_ydata()))
