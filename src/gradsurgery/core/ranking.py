"""Ranks, and how well scores rank positives above negatives: the area under the ROC curve, two ways."""

import math

import numpy as np
from jaxtyping import Float64, Integer, Real

_EPSILON = 1e-6  # keeps the rates of the thresholded form finite when a class is empty


def average_ranks(values: Real[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Rank of every value, from 1 for the smallest; equal ones share the mean of their ranks. All NaN where one is."""
    if np.isnan(values).any():
        return np.full(len(values), np.nan)
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[place]


def roc_auc(labels: Integer[np.ndarray, " n"], scores: Real[np.ndarray, " n"]) -> float:
    """Probability that a random positive scores above a random negative, ties counting one half: the exact area.

    NaN where a score is: it has no rank.

    Raises:
        ValueError: one of the two classes is missing.
    """
    positive = labels == 1
    ones, zeros = int(positive.sum()), int((labels == 0).sum())
    if not ones or not zeros or ones + zeros != len(labels):
        raise ValueError(f"`labels` must be 0 or 1 and hold both, found {sorted(set(labels.tolist()))[:5]}.")
    ranks = average_ranks(scores.astype(np.float64))
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / ones / zeros)


def delong_components(labels: Integer[np.ndarray, " n"], scores: Real[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Of every example the share of the other class that lies on its right side, ties counting one half.

    The exact area is their mean over the positives, and over the negatives; its variance is the sum of those of both
    means (DeLong, DeLong and Clarke-Pearson, 1988, by ranks as in Sun and Xu, 2014). All NaN where a score is.
    """
    positive = labels == 1
    ranks = average_ranks(scores)
    found = np.empty(len(scores))
    for own, turned in ((positive, False), (~positive, True)):
        below = (ranks[own] - average_ranks(scores[own])) / (~own).sum()
        found[own] = 1.0 - below if turned else below
    return found


def roc_auc_thresholds(
    labels: Integer[np.ndarray, " n"], probabilities: Real[np.ndarray, " n"], thresholds: int = 200
) -> float:
    """The area under the ROC curve seen at evenly spaced thresholds only, as TensorFlow 1's `tf.metrics.auc` takes it.

    The curve has one point for each threshold 0-, 1/(n-1), .., (n-2)/(n-1), 1+, joined by straight lines. Where many
    scores lie between two thresholds, the corner they cut off is lost: on a skewed task the area comes out too small,
    by as much as the differences that papers report. NaN where a probability is.
    """
    if np.isnan(probabilities).any():
        return math.nan
    inner = np.arange(1, thresholds - 1) / (thresholds - 1)
    edges = np.concatenate([[-1e-7], inner, [1.0 + 1e-7]])
    above = []
    for chosen in (labels == 1, labels == 0):
        ordered = np.sort(probabilities[chosen].astype(np.float64))
        above.append(len(ordered) - np.searchsorted(ordered, edges, side="right"))
    hits, alarms = above
    hit_rate = (hits + _EPSILON) / (hits[0] + _EPSILON)
    alarm_rate = alarms / (alarms[0] + _EPSILON)
    return float(((alarm_rate[:-1] - alarm_rate[1:]) * (hit_rate[:-1] + hit_rate[1:]) / 2).sum())
