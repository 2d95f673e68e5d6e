"""An equal-budget search as a picture: curves as they were found, winners in the order of their gain."""

import pytest

from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.searches import Searched
from gradsurgery.report.search_figure import best_of_n
from tests.histories import difference


def searched(*curve: float) -> Searched:
    return Searched(len(curve), 0, 0, [], curve[0], curve[-1], None, 0, curve, {})


def test_curves_and_gains_are_drawn_in_the_unit_of_the_metric() -> None:
    found = {"sum": searched(0.5, 0.6), "pcgrad": searched(0.4, 0.7)}
    compared = [difference("pcgrad", 0.0, 0.02), difference("sum", -0.02, -0.01)]
    left, right = best_of_n(found, compared, measure("all.accuracy"), ["pcgrad"]).axes
    curves = {line.get_label(): line.get_xydata().tolist() for line in left.lines}
    assert curves == {"sum": [[1, 50], [2, 60]], "PCGrad": [[1, 40], [2, pytest.approx(70)]]}
    assert [text.get_text() for text in right.get_yticklabels()] == ["sum", "PCGrad"], "the worst first, from below"
    dots = [line.get_xydata()[0].tolist() for line in right.lines if line.get_marker() == "o"]
    assert dots == [pytest.approx([-1.5, 0]), pytest.approx([1.0, 1])]


def test_less_error_is_to_the_right_and_a_level_stays_positive() -> None:
    found = {"sum": searched(-0.5, -0.3)}  # levels are turned so that more is better
    compared = [difference("sum", 0.01, 0.03, metric="all.mae", higher=False)]
    left, right = best_of_n(found, compared, measure("all.mae"), []).axes
    assert left.lines[0].get_ydata() == pytest.approx([0.5, 0.3])
    (dot,) = [line for line in right.lines if line.get_marker() == "o"]
    assert dot.get_xdata()[0] == pytest.approx(-0.02), "more error is a loss"
