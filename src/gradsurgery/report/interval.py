"""The geometry of the small drawing of an effect: where zero, the interval, our value and the published one lie."""

import dataclasses

WIDTH, HEIGHT, MARGIN = 120, 14, 6  # of the drawing's own units


@dataclasses.dataclass(frozen=True)
class Interval:
    """Places on the drawing's axis, in its own units; None for what there is not."""

    mean: float
    low: float | None
    high: float | None
    published: float | None
    zero: float | None


def interval(
    mean: float, low: float | None, high: float | None, published: float | None, *, zero: bool = False,
    ends: tuple[float, float] | None = None,
) -> Interval:  # fmt: skip
    """The drawing of one effect; its axis spans all that is marked, and `ends` where they are given.

    Args:
        mean, low, high: ours; an effect of one repeat has no interval.
        published: the paper's value, None where it prints none.
        zero: whether zero is marked, as a difference asks for.
        ends: what the axis spans at least.
    """
    nothing = 0.0 if zero else None
    marked = [value for value in (mean, low, high, published, nothing, *(ends or ())) if value is not None]
    left, right = min(marked), max(marked)
    width = right - left or 1.0

    def place(value: float | None) -> float | None:
        return None if value is None else round(MARGIN + (WIDTH - 2 * MARGIN) * (value - left) / width, 1)

    middle = place(mean)
    assert middle is not None
    return Interval(middle, place(low), place(high), place(published), place(nothing))
