"""What an interval lets one say of an effect: the one place where a number becomes a word.

The effect is turned so that more is what is claimed (of a contrast: so that more is better). Intervals are of 95 %;
*within the margin* means that the 90 % interval lies within -+ margin (two one-sided tests at 5 %); *zero is out* means
that p, after Holm where a family is corrected, is below alpha. The first row that fits is the word:

    word                     when                                                            of a contrast
    not run (one repeat      there is no interval                                            the same
    has no interval)
    reproduced               zero is out on the claimed side, the interval holds the
                             published effect
    smaller than published   the interval lies below the published effect, and zero is
                             not out or the effect is within the margin
    practically equal        within the margin                                               practically equal
    direction only           zero is out on the claimed side                                 better
    opposite                 zero is out on the other side                                   worse
    inconclusive             else: the interval holds zero and, where it is printed, the     inconclusive
                             published effect

A claim of no effect is turned so that more is the side that it does not deny; it has no published effect, so that
*practically equal* is what supports it. Rows without numbers (`not run`, `diverged`, `not exercised`) come before.
"""

from gradsurgery.evidence.power import ALPHA
from gradsurgery.evidence.statistics import Summary

REPRODUCED, DIRECTION, SMALLER = "reproduced", "direction only", "smaller than published"
EQUAL, OPPOSITE, INCONCLUSIVE = "practically equal", "opposite", "inconclusive"
ALONE = "not run (one repeat has no interval)"
BETTER, WORSE = "better", "worse"
EFFECTS = (BETTER, WORSE, EQUAL, INCONCLUSIVE)


def word(
    gain: Summary,
    margin: float | None,
    published: float | None = None,
    p: float | None = None,
    alpha: float = ALPHA,
    equal_p: float | None = None,
) -> str:
    """The word for an effect; one of the table above.

    Args:
        gain: turned so that more is what is claimed.
        margin: of practical equality, in the unit of the gain; None where there is none for its metric.
        published: the effect that is claimed, above zero; None where no size is.
        p: that there is no effect, after correction; the gain's own where it is None.
        alpha: the level of all tests.
        equal_p: that the effect lies outside the margin, after correction; the gain's own where it is None.
    """
    p = gain.p if p is None else p
    if gain.low is None or gain.high is None or p is None:
        return ALONE
    out = p < alpha
    if margin is not None and equal_p is None:
        equal_p = gain.within(margin)
    within = margin is not None and equal_p is not None and equal_p < alpha
    if published is not None and out and gain.mean > 0 and gain.low <= published <= gain.high:
        return REPRODUCED
    if published is not None and gain.high < published and (within or not out):
        return SMALLER
    if within:
        return EQUAL
    if out:
        return DIRECTION if gain.mean > 0 else OPPOSITE
    return INCONCLUSIVE


def effect(gain: Summary, margin: float | None) -> str:
    """The word for a contrast that nobody claimed."""
    found = word(gain, margin)
    return {DIRECTION: BETTER, OPPOSITE: WORSE}.get(found, found)
