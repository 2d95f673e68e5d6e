"""Intervals: a worked example, and coverage on simulated data."""

import numpy as np
import pytest
from scipy.stats import bootstrap
from scipy.stats import t as student

from gradsurgery.evidence.statistics import BCA_FROM, DRAWS, compare, holm, significant, summarise


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


def bounds(samples: int, n: int) -> np.ndarray:
    """Low, mean and high of each of `samples` means of n draws around 1."""
    draws = np.random.default_rng(7).normal(1.0, 2.0, (samples, n))
    summaries = [summarise(row.tolist()) for row in draws]
    assert {s.interval for s in summaries} == {"bca" if n >= BCA_FROM else "t"}
    return np.array([(s.low, s.mean, s.high) for s in summaries], dtype=float)


def coverage(found: np.ndarray, factor: float = 1.0) -> float:
    """How often the interval holds the true mean of 1, or would if it were `factor` as wide."""
    low, mean, high = found.T
    return float(np.mean((mean - factor * (mean - low) <= 1.0) & (mean + factor * (high - mean) >= 1.0)))


@pytest.mark.parametrize(("n", "samples", "slack"), [(3, 4000, 0.01), (5, 4000, 0.01), (10, 4000, 0.01),
                                                     (BCA_FROM, 400, 0.02)])  # fmt: skip
def test_coverage_of_the_interval(n: int, samples: int, slack: float) -> None:
    """On simulated differences of known mean; 4,000 samples know their coverage to 0.34 points, 400 to 1.1."""
    assert coverage(bounds(samples, n)) == pytest.approx(0.95, abs=slack)


@pytest.mark.parametrize("n", [3, 5])
def test_the_coverage_test_would_see_a_wrong_interval(n: int) -> None:
    """n degrees of freedom for n - 1, the normal's quantile, a biased sd, sqrt(n - 1): each misses by over a point."""
    found, right = bounds(4000, n), student.ppf(0.975, n - 1)
    wrong = (student.ppf(0.975, n) / right, 1.96 / right, ((n - 1) / n) ** 0.5, (n / (n - 1)) ** 0.5)
    assert all(abs(coverage(found, factor) - 0.95) > 0.01 for factor in wrong)


def test_bootstrap_interval_repeats_and_leans_with_the_data() -> None:
    values = np.random.default_rng(0).exponential(1.0, BCA_FROM).tolist()
    summary = summarise(values)
    assert summary == summarise(values)
    assert summary.interval == "bca"
    assert summary.as_record()["interval"] == "bca"
    assert summary.low is not None
    assert summary.high is not None
    assert summary.high - summary.mean > summary.mean - summary.low  # as skewed as the data, which t cannot be
    assert DRAWS == 10_000  # protocol.md 1.3
    percentile = bootstrap((values,), np.mean, n_resamples=DRAWS, method="percentile", rng=1).confidence_interval
    assert (summary.low, summary.high) > (percentile.low, percentile.high)  # the correction leans further
    assert summary.high > percentile.high


def test_equal_repeats_have_an_interval_of_no_width() -> None:
    assert summarise([2.0] * BCA_FROM).as_record() == {"n": BCA_FROM, "mean": 2.0, "sd": 0.0, "ci95": [2.0, 2.0]}


def test_comparison_worked_by_hand() -> None:
    result = compare({"a": [1.0, 2.0, 3.0], "b": [0.0, 0.0, 0.0], "c": [-0.1, 0.0, 0.2]})
    # t = 2 / (1 / sqrt 3) = 3.4641 with 2 degrees of freedom: p = 1 - t / sqrt(t^2 + 2) = 1 - sqrt(6 / 7)
    assert result["a"].p == pytest.approx(1 - (6 / 7) ** 0.5)
    assert result["a"].p_holm == pytest.approx(3 * (1 - (6 / 7) ** 0.5))  # the smallest of three
    assert (result["b"].p, result["b"].p_holm) == (1.0, 1.0)
    # d = 2; J(2) = Gamma(1) / Gamma(1/2) = 1 / sqrt pi
    assert result["a"].effect == pytest.approx(2.0 / np.pi**0.5)
    assert result["b"].effect is None
    assert result["a"].improved == 3
    assert result["a"].improved_interval == pytest.approx((0.025 ** (1 / 3), 1.0))  # (1/2 alpha)^(1/n)
    assert (result["b"].improved, result["b"].improved_interval) == (1.5, (0.0, 1.0))
    assert result["c"].improved == 1.5
    # One won and one tied of three: from none of the tied (1 of 3 at the least) to all of them (2 of 3 at the most).
    assert result["c"].improved_interval == pytest.approx((1 - 0.975 ** (1 / 3), 0.975 ** (1 / 3)))
    assert list(result) == ["a", "b", "c"]


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_holm_as_statsmodels_has_it() -> None:
    peer = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(5).uniform(0.0, 0.2, 12).tolist()
    assert holm(p) == pytest.approx(peer.multipletests(p, method="holm")[1])


def test_holm_keeps_false_alarms_rare_where_nothing_differs() -> None:
    """With ten comparisons a bare 5 % test finds something in most studies; after Holm in about one of twenty."""
    draws = np.random.default_rng(11).normal(size=(300, 10, 5))
    results = [compare({str(i): row.tolist() for i, row in enumerate(study)}) for study in draws]
    bare = np.mean([any(c.p is not None and c.p < 0.05 for c in r.values()) for r in results])
    corrected = np.mean([any(c.separates() for c in r.values()) for r in results])
    assert bare > 0.3
    assert corrected < 0.08


def test_lower_may_be_better() -> None:
    assert compare({"a": [-1.0, -2.0]}, higher=False)["a"].improved == 2
    assert compare({"a": [-1.0, -2.0]})["a"].improved == 0


def test_effect_is_unbiased() -> None:
    draws = np.random.default_rng(2).normal(1.0, 2.0, (3000, 5))
    effects = [compare({"a": row.tolist()})["a"].effect for row in draws]
    assert np.mean([e for e in effects if e is not None]) == pytest.approx(0.5, abs=0.04)


def test_a_difference_must_exceed_the_noise_of_the_test_set() -> None:
    narrow = compare({"a": [0.18, 0.181, 0.179]})["a"]
    assert narrow.separates()
    assert narrow.separates(0.1)
    assert not narrow.separates(0.2)
    below = compare({"a": [-0.18, -0.181, -0.179]})["a"]
    assert below.separates(0.1)
    assert not below.separates(0.2)


def test_one_seed_is_compared_without_a_verdict() -> None:
    one = compare({"a": [0.5]})["a"]
    assert (one.p, one.p_holm, one.effect, one.separates()) == (None, None, None, False)
    assert one.as_record()["ci95"] is None


def test_significant_digits() -> None:
    assert significant(0.123456789) == 0.123457
    assert significant(-12345678.0, 3) == -12300000.0


def test_equal_differences_other_than_zero_are_as_sure_as_can_be() -> None:
    """No spread and no difference is p = 1; no spread and a difference is p = 0, and no effect size either way."""
    found = compare({"same": [0.0] * 3, "moved": [0.5] * 3, "pair": [1.0, 2.0]})
    assert (found["same"].p, found["moved"].p) == (1.0, 0.0)
    assert found["moved"].effect is None
    assert found["pair"].effect is None, "Hedges' factor is not defined for two"
