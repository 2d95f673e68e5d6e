"""Metrics in words and units."""

import pytest

from gradsurgery.evidence.measures import by_word, measure, word, worded


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("left.accuracy", "left accuracy (%)"),
        ("never_married.auc", "never married ROC-AUC"),
        ("all.accuracy", "accuracy, mean of tasks (%)"),
        ("l1.mae", "l1 mean absolute error"),
        ("t.strange_thing", "t strange thing"),
    ],
)
def test_a_metric_reads_as_words(metric: str, said: str) -> None:
    assert worded(metric) == said


def test_only_accuracies_are_printed_in_per_cent() -> None:
    assert [measure(m).factor for m in ("a.accuracy", "a.auc", "ssim", "a.unknown")] == [100.0, 1.0, 1.0, 1.0]


def test_a_point_is_no_per_cent_and_digits_are_those_that_n_supports() -> None:
    how = measure("a.accuracy")
    assert (how.unit, how.step, how.digits) == ("%", "points", 2)
    assert [measure(m).digits for m in ("a.auc", "ssim", "all.loss")] == [4, 4, 3]


def test_metrics_of_one_word_are_grouped_in_order() -> None:
    assert by_word({"a.mae": False, "b.ssim": True, "c.mae": False}) == {"mae": ["a.mae", "c.mae"], "ssim": ["b.ssim"]}
    assert word("a.mae") == "mae"
