"""One effect has one word, and the word says what the interval says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradsurgery.evidence.statistics import Summary, summarise
from gradsurgery.evidence.words import (
    ALONE,
    BETTER,
    DIRECTION,
    EQUAL,
    INCONCLUSIVE,
    OPPOSITE,
    REPRODUCED,
    SMALLER,
    WORSE,
    effect,
    word,
)

WORDS = (REPRODUCED, SMALLER, EQUAL, DIRECTION, OPPOSITE, INCONCLUSIVE)


def interval(low: float, high: float) -> Summary:
    return Summary(3, (low + high) / 2, 1.0, low, high)


@pytest.mark.parametrize(
    ("low", "high", "published", "margin", "expected"),
    [
        (0.1, 0.3, 0.2, None, REPRODUCED),
        (0.1, 0.3, 0.5, None, DIRECTION),  # and smaller than the published, but beyond what nobody would act on
        (0.4, 0.6, 0.2, None, DIRECTION),
        (0.1, 0.3, None, None, DIRECTION),
        (-0.1, 0.3, 0.5, None, SMALLER),
        (0.01, 0.03, 0.5, 0.1, SMALLER),
        (-0.03, -0.01, 0.5, 0.1, SMALLER),
        (-0.03, -0.01, None, 0.1, EQUAL),
        (-0.03, 0.01, 0.005, 0.1, EQUAL),
        (0.01, 0.03, 0.02, 0.1, REPRODUCED),
        (-0.3, -0.1, 0.5, None, OPPOSITE),
        (-0.3, -0.1, 0.5, 0.1, OPPOSITE),
        (-0.1, 0.6, 0.5, None, INCONCLUSIVE),
        (-0.1, 0.6, None, 0.1, INCONCLUSIVE),
    ],
)
def test_the_table(low: float, high: float, published: float | None, margin: float | None, expected: str) -> None:
    assert word(interval(low, high), margin, published) == expected


def test_one_repeat_says_nothing() -> None:
    assert word(summarise([5.0]), 1.0, 5.0) == effect(summarise([5.0]), 1.0) == ALONE


def test_a_corrected_p_can_take_a_word_back() -> None:
    assert word(interval(0.1, 0.3), None, 0.2, p=0.2) == INCONCLUSIVE
    assert word(interval(0.1, 0.3), None, 0.5, p=0.2) == SMALLER
    assert word(interval(-0.01, 0.01), 0.1, equal_p=0.2) == INCONCLUSIVE


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.1, 0.3, BETTER), (-0.3, -0.1, WORSE), (-1.0, 1.0, INCONCLUSIVE)]
)
def test_what_nobody_claimed_is_better_or_worse(low: float, high: float, expected: str) -> None:
    assert effect(interval(low, high), 0.05) == expected


numbers = st.floats(-10.0, 10.0).map(lambda v: round(v, 3))
sizes = st.none() | st.floats(0.001, 10).map(lambda v: round(v, 3))


# half-widths lie between the numbers, so that no end of an interval is one of them but for rounding
@given(numbers, st.floats(0.001, 10).map(lambda v: round(v, 3) + 0.0005), sizes, sizes)
def test_every_effect_has_exactly_one_word_and_it_says_what_holds(
    mean: float, half: float, published: float | None, margin: float | None
) -> None:
    """The conditions, written out once more and without an order, exclude each other and leave nothing out."""
    gain = Summary(5, mean, 1.0, mean - half, mean + half)
    low, high = mean - half, mean + half
    out = low > 0 or high < 0
    within = margin is not None and (gain.within(margin) or 0.0) < 0.05
    excluded = published is not None and high < published
    held = published is not None and low > 0 and low <= published <= high
    smaller = excluded and (within or not out)
    conditions = {
        REPRODUCED: held,
        SMALLER: smaller,
        EQUAL: within and not held and not smaller,
        DIRECTION: low > 0 and not held and not within,
        OPPOSITE: high < 0 and not within,
        INCONCLUSIVE: not out and not within and not excluded,
    }
    assert [name for name in WORDS if conditions[name]] == [word(gain, margin, published)]
