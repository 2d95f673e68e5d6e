"""Intervals: a worked example, and coverage on simulated data."""

import numpy as np
import pytest

from gradsurgery.reporting import statistics
from gradsurgery.reporting.statistics import significant, summarise


def test_worked_example() -> None:
    summary = summarise([1.0, 2.0, 3.0])
    assert (summary.n, summary.mean, summary.sd) == (3, 2.0, 1.0)
    # t(0.975, 2) = 4.302653, divided by sqrt(3)
    assert (summary.low, summary.high) == (pytest.approx(2 - 2.484138), pytest.approx(2 + 2.484138))


def test_one_repeat_has_no_interval() -> None:
    assert summarise([4.0]).as_record() == {"n": 1, "mean": 4.0, "sd": None, "ci95": None}


def test_no_repeat_is_refused() -> None:
    with pytest.raises(ValueError, match="`values` must hold at least one number"):
        summarise([])


@pytest.mark.parametrize("n", [3, 5])
def test_coverage_of_the_interval(n: int) -> None:
    draws = np.random.default_rng(7).normal(1.0, 2.0, (4000, n))
    summaries = [summarise(row.tolist()) for row in draws]
    covered = np.mean([s.low <= 1.0 <= s.high for s in summaries if s.low is not None and s.high is not None])
    assert 0.93 < covered < 0.97


def test_significant_digits() -> None:
    assert significant(0.123456789) == 0.123457
    assert significant(-12345678.0, 3) == -12300000.0


def test_test_set_noise_covers_independent_errors() -> None:
    draws = np.random.default_rng(3).binomial(400, [0.9, 0.8], (4000, 2)) / 400
    outside = np.abs(draws[:, 0] - draws[:, 1] - 0.1) > statistics.test_noise([(0.9, 0.8)], 400)
    assert 0.03 < outside.mean() < 0.07


def test_test_set_noise_of_a_mean_over_tasks() -> None:
    one = statistics.test_noise([(0.9, 0.8)], 400)
    assert statistics.test_noise([(0.9, 0.8), (0.9, 0.8)], 400) == pytest.approx(one / 2**0.5)
