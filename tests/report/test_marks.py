"""What figures are put together of."""

import numpy as np
import pytest

from gradsurgery.evidence.statistics import Summary
from gradsurgery.report.marks import course, effect, legend
from gradsurgery.report.style import canvas


def test_an_effect_without_an_interval_is_a_dot():
    axes = canvas(2.0, 2.0).subplots()
    effect(axes, 3, Summary(2, 1.0, 0.5, 0.0, 2.0), "#000000")
    effect(axes, 4, Summary(1, 1.0, None, None, None), "#000000")
    drawn = [tuple(map(list, mark.get_data())) for mark in axes.lines]
    assert drawn == [([0.0, 2.0], [3, 3]), ([1.0], [3]), ([1.0], [4])]


@pytest.mark.parametrize(("seeds", "bands"), [(1, 0), (3, 1)])
def test_a_course_has_a_band_over_seeds_that_ends_where_the_quantity_must(seeds, bands):
    axes = canvas(2.0, 2.0).subplots()
    curves = np.linspace(0.0, 1.0, seeds)[:, None] * np.ones((seeds, 4))
    course(axes, np.arange(4), curves, "-", tint="#000000", band=0.1, ends=(0.0, 0.8), label="a")
    assert len(axes.collections) == bands
    for band in axes.collections:
        heights = band.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == (0.0, 0.8)


def test_a_legend_has_every_name_once():
    figure = canvas(4.0, 2.0)
    panels = figure.subplots(1, 2)
    for axes, names in zip(panels, ("ab", "bc"), strict=True):
        for name in names:
            axes.plot([0, 1], label=name)
    legend(figure, panels)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c"]
