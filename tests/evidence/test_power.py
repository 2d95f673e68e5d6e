"""Power of a comparison, the least effect that it finds, and the seeds that decide: by hand and by a peer."""

import numpy as np
import pytest

from gradsurgery.evidence.power import decides, detectable, power

SEEDS = (3, 5, 8, 10, 24)


def test_power_as_statsmodels_has_it() -> None:
    peer = pytest.importorskip("statsmodels.stats.power").TTestPower()
    for n in SEEDS:
        assert power(0.9, 1.0, n) == pytest.approx(peer.power(0.9, n, 0.05), abs=2e-3)  # its other tail counts too
    assert decides(0.5, 1.0) == np.ceil(peer.solve_power(0.5, None, 0.05, 0.8))


def test_no_number_of_seeds_sees_through_a_small_test_set() -> None:
    assert decides(0.1, 1.0, noise=0.1) is None
    assert decides(1.0, 0.0) == 2


def test_power_rises_with_the_effect_and_the_seeds_and_falls_with_the_noise() -> None:
    assert power(0.5, 1.0, 5) < power(0.5, 1.0, 10) < power(1.0, 1.0, 10)
    assert power(0.5, 1.0, 10, noise=0.5) < power(0.5, 1.0, 10)
    assert power(-0.5, 1.0, 10) == power(0.5, 1.0, 10), "on its own side of zero"


def test_no_effect_is_found_on_one_side_as_often_as_the_level_says() -> None:
    assert power(0.0, 1.0, 10) == pytest.approx(0.025)
    assert power(0.0, 0.0, 10) == 0.025
    assert power(0.1, 0.0, 10) == 1.0, "without any spread everything is seen"


def test_the_least_effect_is_that_which_has_the_wanted_power() -> None:
    least = detectable(1.0, 8)
    assert power(least, 1.0, 8) == pytest.approx(0.8)
    assert detectable(2.0, 8) == pytest.approx(2 * least), "in the unit of the spread"
    assert detectable(0.0, 8) == 0.0


def test_the_seeds_that_decide_are_the_fewest() -> None:
    n = decides(0.7, 1.0)
    assert n is not None
    assert power(0.7, 1.0, n - 1) < 0.8 <= power(0.7, 1.0, n)
