"""Gain by dose as a picture: a panel a dial, tasks and ratio; points lie where the contrasts are."""

import pytest

from gradsurgery.evidence.dose import Dose
from gradsurgery.evidence.statistics import Summary
from gradsurgery.report.dose_figure import EQUAL, TUNED, Point, figure, metric
from tests.histories import difference

KINDS = {"pcgrad": "study", "placebo_random": "placebo", "dwa": "baseline"}
GAIN = Summary(3, 0.05, 0.01, 0.04, 0.06)


def point(ratio: float, position: float, dial: str = "cosine", tasks: int = 2, shift: float = 0.0) -> Point:
    dose = Dose(tasks, ratio, dial, position, None, None, GAIN, None if ratio == 1.0 else GAIN, {}, [])
    gains = [difference(m, 0.01 + shift, 0.03 + shift) for m in KINDS]
    return Point("p", dose, gains, KINDS)


def test_lines_of_a_kind_are_those_with_an_interval() -> None:
    one = Summary(1, 0.02, None, None, None)
    gains = [difference("pcgrad", 0.0, 1.0), difference("x", 0.0, 1.0, difference=one)]
    found = Point("p", point(1.0, 0.5).dose, gains, {"pcgrad": "study", "x": "study"})
    assert [c.method for c in found.of_kind("study")] == ["pcgrad"]
    assert found.of_kind("placebo") == []


def test_what_is_compared_is_named_by_the_contrasts() -> None:
    assert metric([point(1.0, 0.5)]) == "all.accuracy"
    assert metric([]) == "all.accuracy"
    assert metric([Point("p", point(1.0, 0.5).dose, [difference("a", 0.0, 1.0, metric="all.mae")], {})]) == "all.mae"


def test_a_panel_holds_one_dial_and_its_positions_in_order() -> None:
    drawn = figure([point(1.0, 0.5), point(1.0, -0.5), point(4.0, 0.5), point(1.0, 5.0, "permuted")])
    shown = [axes for axes in drawn.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == [
        "2 tasks, last loss weighs 1", "2 tasks, last loss weighs 4", "2 tasks, last loss weighs 1"
    ]  # fmt: skip
    assert [text.get_text() for text in shown[0].get_xticklabels()] == ["0.5", "-0.5"]
    assert shown[2].get_xlabel() == "classes in another order, of 10"


def test_points_lie_at_the_gain_and_plain_baselines_are_left_out() -> None:
    drawn = figure([point(4.0, 0.5), point(4.0, -0.5, shift=0.02)])
    lines = {line.get_label(): line.get_ydata() for line in drawn.axes[0].lines if line.get_label()[0] != "_"}
    assert set(lines) == {"PCGrad", "placebo: random vector", TUNED, EQUAL}
    assert lines["PCGrad"] == pytest.approx([2.0, 4.0])
    assert lines[TUNED] == pytest.approx([5.0, 5.0])
    level = figure([point(1.0, 0.5)]).axes[0]
    assert EQUAL not in [line.get_label() for line in level.lines], "the sum at equal weights is the zero line there"
