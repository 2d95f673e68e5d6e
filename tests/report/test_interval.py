"""The small drawing of an effect: what is marked lies where the numbers say, within the drawing."""

import pytest

from gradsurgery.report.interval import MARGIN, WIDTH, interval


def test_a_difference_marks_zero_and_what_was_published() -> None:
    drawn = interval(1.0, 0.5, 1.5, 2.0, zero=True)
    assert (drawn.zero, drawn.published) == (MARGIN, WIDTH - MARGIN)
    assert drawn.mean == (MARGIN + WIDTH - MARGIN) / 2
    assert drawn.low is not None
    assert drawn.high is not None
    assert drawn.low - MARGIN == drawn.mean - drawn.low == drawn.high - drawn.mean


def test_a_count_lies_between_none_and_all() -> None:
    assert interval(2.0, None, None, 5.0, ends=(0.0, 5.0)).published == WIDTH - MARGIN
    assert interval(0.0, None, None, None, ends=(0.0, 5.0)).mean == MARGIN


@pytest.mark.parametrize("published", [None, 3.0])
def test_one_point_has_a_place(published: float | None) -> None:
    drawn = interval(3.0, None, None, published)
    assert MARGIN <= drawn.mean <= WIDTH - MARGIN
    assert drawn.published in (None, drawn.mean)
