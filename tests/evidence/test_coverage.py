"""Every interval procedure on simulated data of the designs used: 95 +- 1 % coverage, and what a wrong one would do."""

import numpy as np
import pytest
from scipy.special import stdtrit

from gradsurgery.evidence.power import decides, detectable, power
from gradsurgery.evidence.statistics import Summary, holm, summarise, welch
from gradsurgery.evidence.words import EQUAL, INCONCLUSIVE, word

SEEDS = (3, 5, 8, 10, 24)
STUDIES = 3000  # they know a coverage of 95 % to 0.4 points


def drawn(n: int, examples: float = 0.0, mean: float = 0.0, studies: int = STUDIES) -> list[list[float]]:
    """Differences of `studies` studies of n seeds with spread 1; the test set moves all seeds of a study together."""
    rng = np.random.default_rng(100 + n)
    found: list[list[float]] = (
        mean + rng.normal(size=(studies, n)) + examples * rng.normal(size=(studies, 1))
    ).tolist()
    return found


def holds(found: list[Summary], truth: float = 0.0) -> float:
    return float(np.mean([s.low is not None and s.high is not None and s.low <= truth <= s.high for s in found]))


@pytest.mark.parametrize("n", SEEDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0, 2.0])
def test_an_interval_over_seeds_and_test_examples_covers(n: int, share: float) -> None:
    """`share` is the examples' standard error in units of the seeds'. Of 100,000 studies at once, by the formula
    written out once more, which is that of `summarise`."""
    rng, examples = np.random.default_rng(n), share / n**0.5
    rows = rng.normal(size=(100_000, n)) + examples * rng.normal(size=(100_000, 1))
    means, seeds = rows.mean(axis=1), rows.var(axis=1, ddof=1) / n
    freedom = np.minimum((n - 1) * ((seeds + examples**2) / seeds) ** 1.1, 1e6) if share else np.full(len(rows), n - 1)
    half = stdtrit(freedom, 0.975) * np.sqrt(seeds + examples**2)
    assert np.mean(np.abs(means) <= half) == pytest.approx(0.95, abs=0.011)
    for row, mean, reach in zip(rows[:20].tolist(), means, half, strict=False):
        assert summarise(row, 1.959963985 * examples).high == pytest.approx(mean + reach)


@pytest.mark.parametrize("n", [3, 10, 24])
def test_an_interval_without_the_test_examples_would_not(n: int) -> None:
    assert holds([summarise(row) for row in drawn(n, 1 / n**0.5)]) < 0.92


def test_a_normal_quantile_for_t_would_not() -> None:
    found = [s for s in map(summarise, drawn(3)) if s.error is not None]
    assert np.mean([abs(s.mean) <= 1.959964 * (s.error or 0.0) for s in found]) < 0.9


@pytest.mark.parametrize(("n", "spread"), [(3, 3.0), (5, 1.0), (5, 3.0), (8, 1.0), (10, 2.0), (24, 3.0)])
def test_seeds_that_do_not_pair(n: int, spread: float) -> None:
    rng = np.random.default_rng(n)
    mine, theirs = rng.normal(size=(100_000, n)), spread * rng.normal(size=(100_000, n))
    a, b = (rows.var(axis=1, ddof=1) / n for rows in (mine, theirs))
    means = mine.mean(axis=1) - theirs.mean(axis=1)
    half = stdtrit((a + b) ** 2 / ((a**2 + b**2) / (n - 1)), 0.975) * np.sqrt(a + b)
    assert np.mean(np.abs(means) <= half) == pytest.approx(0.95, abs=0.011)
    for one, other, mean, reach in zip(mine[:20].tolist(), theirs[:20].tolist(), means, half, strict=False):
        assert welch(one, other).high == pytest.approx(mean + reach)


def test_pairing_what_is_opposed_loses_power() -> None:
    """At a correlation of -0.8, as Recon's networks had, the paired interval is wider by a third."""
    rng = np.random.default_rng(0)
    mine = rng.normal(size=(1000, 8))
    theirs = -0.8 * mine + 0.6 * rng.normal(size=(1000, 8))
    wide = np.median([summarise(row).error or 0.0 for row in (mine - theirs).tolist()])
    narrow = np.median([welch(a, b).error or 0.0 for a, b in zip(mine.tolist(), theirs.tolist(), strict=True)])
    assert wide / narrow == pytest.approx((3.6 / 2) ** 0.5, abs=0.07)


@pytest.mark.parametrize("n", SEEDS)
def test_a_true_zero_is_found_different_in_one_of_twenty(n: int) -> None:
    wrong = np.mean([word(summarise(row), None) != INCONCLUSIVE for row in drawn(n)])
    assert wrong == pytest.approx(0.05, abs=0.0115)


@pytest.mark.parametrize("n", SEEDS)
def test_an_effect_at_the_margin_is_called_equal_in_one_of_twenty(n: int) -> None:
    """Where the margin is wide enough that the other side does not matter."""
    rows = drawn(n, mean=9.0)
    assert np.mean([(summarise(row).within(9.0) or 0.0) < 0.05 for row in rows]) == pytest.approx(0.05, abs=0.0115)
    assert word(summarise(drawn(n)[0]), 9.0) in (EQUAL, INCONCLUSIVE)


@pytest.mark.parametrize("n", SEEDS)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_least_detectable_effect_is_found_four_times_of_five(n: int, share: float) -> None:
    examples = share / n**0.5
    effect = detectable(1.0, n, 1.959964 * examples)
    found = [summarise(row, 1.959964 * examples) for row in drawn(n, examples, effect)]
    assert np.mean([(s.low or 0.0) > 0 for s in found]) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("effect", [0.6, 1.0, 2.0])
def test_the_seeds_that_decide_do(effect: float) -> None:
    n = decides(effect, 1.0)
    assert n is not None
    assert np.mean([(summarise(row).low or 0.0) > 0 for row in drawn(n, mean=effect)]) >= 0.75
    assert power(effect, 1.0, n - 1) < 0.8 <= power(effect, 1.0, n)


def test_a_family_is_wrong_in_one_of_twenty() -> None:
    """Holm over the ten claims of a paper; without it two papers of five would have a false one."""
    every = drawn(5, studies=6000)
    studies = [every[i : i + 10] for i in range(0, 6000, 10)]
    p = [[summarise(row).p or 0.0 for row in study] for study in studies]
    assert np.mean([min(holm(family)) < 0.05 for family in p]) < 0.08
    assert np.mean([min(family) < 0.05 for family in p]) > 0.3
