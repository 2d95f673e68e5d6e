"""Intervals: a worked example of each part. Coverage is in test_coverage.py."""

import math

import numpy as np
import pytest

from gradsurgery.evidence.statistics import Summary, compare, holm, significant, summarise, welch, with_examples


def test_worked_example() -> None:
    summary = summarise([1.0, 2.0, 3.0])
    assert (summary.n, summary.mean, summary.sd, summary.df) == (3, 2.0, 1.0, None)
    # t(0.975, 2) = 4.302653, divided by sqrt(3)
    assert (summary.low, summary.high) == (pytest.approx(2 - 2.484138), pytest.approx(2 + 2.484138))
    assert summary.error == pytest.approx(3**-0.5)
    # t = 2 sqrt 3 with 2 degrees of freedom: p = 1 - t / sqrt(t^2 + 2) = 1 - sqrt(6 / 7)
    assert summary.p == pytest.approx(1 - (6 / 7) ** 0.5)


def test_test_examples_are_a_part_of_the_variance() -> None:
    """1/3 over seeds and 1 over examples: 2 * 4^1.1 degrees of freedom."""
    found = summarise([1.0, 2.0, 3.0], noise=1.959964)
    assert found.error == pytest.approx((4 / 3) ** 0.5)
    assert found.df == pytest.approx(2 * 4**1.1)
    assert summarise([2.0, 2.0, 2.0], noise=1.959964).low == pytest.approx(2 - 1.959964, abs=1e-4)
    assert with_examples(2.0, 0.5, 0.0) == 2.0


def test_unpaired_seeds_are_welchs() -> None:
    """Variances 1/3 and 4/3: (5/3)^2 / ((1/3)^2 / 2 + (4/3)^2 / 2) degrees of freedom."""
    found = welch([1.0, 2.0, 3.0], [0.0, 2.0, 4.0])
    assert (found.mean, found.n) == (0.0, 3)
    assert found.error == pytest.approx((5 / 3) ** 0.5)
    assert found.df == pytest.approx((25 / 9) / (17 / 18))
    assert welch([1.0], [2.0, 3.0]).low is None


def test_equivalence_is_two_one_sided_tests() -> None:
    summary = summarise([-0.1, 0.0, 0.1])
    # t = 1 / (0.1 / sqrt 3) with 2 degrees of freedom: p = (1 - t / sqrt(t^2 + 2)) / 2
    t = 3**0.5 / 0.1
    assert summary.within(1.0) == pytest.approx((1 - t / (t**2 + 2) ** 0.5) / 2)
    assert summarise([1.9, 2.0, 2.1]).within(1.0) == 1.0
    assert summary.within(1.0) == summary.turned().within(1.0)


def test_one_repeat_has_no_interval() -> None:
    assert summarise([4.0]).as_record() == {"n": 1, "mean": 4.0, "sd": None, "ci95": None}
    one = summarise([4.0])
    assert (one.p, one.within(9.0), one.error) == (None, None, None)


def test_no_repeat_is_refused() -> None:
    with pytest.raises(ValueError, match="`values` must hold at least one number"):
        summarise([])


def test_equal_repeats_have_an_interval_of_no_width() -> None:
    assert summarise([2.0] * 5).as_record() == {"n": 5, "mean": 2.0, "sd": 0.0, "ci95": [2.0, 2.0]}
    assert (summarise([0.0] * 3).p, summarise([0.5] * 3).p) == (1.0, 0.0)


def test_a_summary_in_another_unit_keeps_its_degrees_of_freedom() -> None:
    found = Summary(3, 1.0, 0.1, 0.5, 1.5, 7.0)
    assert found.moved(100.0, 1.0) == Summary(3, 99.0, 10.0, 49.0, 149.0, 7.0)
    assert found.turned() == Summary(3, -1.0, 0.1, -1.5, -0.5, 7.0)


def test_many_differences_are_corrected_for_how_many_they_are() -> None:
    result = compare({"a": [1.0, 2.0, 3.0], "b": [0.0, 0.0, 0.0], "c": [-0.1, 0.0, 0.2]})
    assert result["a"].p_holm == pytest.approx(3 * (1 - (6 / 7) ** 0.5))  # the smallest of three
    assert (result["b"].p, result["b"].p_holm) == (1.0, 1.0)
    assert list(result) == ["a", "b", "c"]
    one = compare({"a": [0.5]})["a"]
    assert (one.p, one.p_holm, one.separates()) == (None, None, False)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_holm_as_statsmodels_has_it() -> None:
    peer = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(5).uniform(0.0, 0.2, 12).tolist()
    assert holm(p) == pytest.approx(peer.multipletests(p, method="holm")[1])


def test_significant_digits() -> None:
    assert significant(0.123456789) == 0.123457
    assert significant(-12345678.0, 3) == -12300000.0


def test_a_half_way_case_is_rounded_alike_whatever_the_last_bit() -> None:
    middle = 0.8162875
    around = (math.nextafter(middle, 0.0), middle, math.nextafter(middle, 1.0))
    assert len({f"{value:.6g}" for value in around}) == 2  # what the last bit decides
    assert len({significant(value) for value in around}) == 1
