"""Areas under the ROC curve: the exact one against scikit-learn's, the thresholded one by hand."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from gradsurgery.core.ranking import average_ranks, roc_auc, roc_auc_thresholds


@pytest.mark.parametrize("decimals", [1, 9])  # with one decimal most scores are tied
def test_the_exact_area_is_scikit_learns(decimals):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500)
    scores = (rng.standard_normal(500) + labels).round(decimals)
    assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_ranks_are_scipys_to_the_bit(decimals):
    values = np.random.default_rng(2).standard_normal(300).round(decimals)
    np.testing.assert_array_equal(average_ranks(values), rankdata(values))
    values[7] = np.nan
    assert np.isnan(average_ranks(values)).all()


def test_ties_count_one_half():
    assert roc_auc(np.array([0, 1]), np.array([0.5, 0.5])) == 0.5
    assert roc_auc(np.array([0, 1, 1]), np.array([0.5, 0.5, 1.0])) == 0.75


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], [0, 2]])
def test_a_missing_class_is_refused(labels):
    with pytest.raises(ValueError, match="`labels` must be 0 or 1 and hold both, found"):
        roc_auc(np.array(labels), np.array([0.1, 0.2]))


def test_scores_between_two_thresholds_are_one_tie():
    labels = np.array([0, 1, 0, 1])
    scores = np.array([0.0001, 0.0002, 0.9, 0.9])
    assert roc_auc(labels, scores) == 0.625
    assert roc_auc_thresholds(labels, scores) == pytest.approx(0.5, abs=1e-5)
    assert roc_auc_thresholds(labels, scores, thresholds=20_000) == pytest.approx(0.625, abs=1e-5)


def test_thresholds_lose_area_where_scores_are_crowded():
    rng = np.random.default_rng(1)
    labels = (rng.random(20_000) < 0.06).astype(int)
    p = 1 / (1 + np.exp(-(rng.standard_normal(20_000) + 2.4 * labels - 5.0)))
    exact, seen = roc_auc(labels, p), roc_auc_thresholds(labels, p)
    assert 0.0005 < exact - seen < 0.03


def test_a_score_on_a_threshold_is_not_above_it():
    assert roc_auc_thresholds(np.array([0, 1]), np.array([0.4, 0.5]), thresholds=5) == pytest.approx(0.5, abs=1e-5)
    assert roc_auc_thresholds(np.array([0, 1]), np.array([0.5, 0.6]), thresholds=5) == pytest.approx(1.0, abs=1e-5)
