"""One sentence a problem: it names both sides, and says no more than its numbers."""

import dataclasses
from pathlib import Path

import pytest

from gradsurgery.evidence.contrasts import Contrasts
from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.scores import evaluate
from gradsurgery.report.sentences import image_sentence, landscape_sentence
from pipelines._evidence import read_histories
from tests.histories import pair, scores_of, with_examples


def said(groups: dict, selections: dict | None = None, margin: float | None = None) -> str:
    metrics, found = evaluate(groups, selections or {})
    found = [dataclasses.replace(c, margin=margin) for c in found]
    return image_sentence("multi_fashion_mnist", metrics, Contrasts(found))


def test_sentences_name_both_sides(checkout: Path) -> None:
    groups = read_histories(checkout / "reports/history")
    toy = landscape_sentence("cagrad_toy", scores_of(groups, {}))
    assert toy == (
        "Solved from all 5 starts: (CAGrad, c = 0.5); from 3: mean. Stuck above zero loss, of 5 starts: mean from 2."
    )
    sentence = said(groups)
    assert sentence.startswith("Better: CAGrad, c = 0.5 (+0.3")
    assert "; worse: SAM-GS (-0.4" in sentence
    assert "; inconclusive: mean (against the sum, points of accuracy, mean of tasks, n = 3, scale smoke;" in sentence
    assert sentence.endswith("exploratory, uncorrected; the test examples are not in the intervals).")
    assert "; practically equal: CAGrad, c = 0.5, PCGrad, mean, SAM-GS (" in said(groups, margin=0.01)


def test_a_small_test_set_silences_the_sentence(checkout: Path) -> None:
    groups = read_histories(checkout / "reports/history")
    small = {
        name: [with_examples(run, 100) for run in runs]
        for name, runs in groups.items()
        if name.startswith("multi_fashion_mnist-")
    }
    assert said(small).startswith("Inconclusive: ")


@pytest.mark.parametrize(("metric", "lower_is_better"), [("auc", False), ("mae", True)])
def test_the_sentence_respects_the_direction_of_its_metric(laptop: Path, metric: str, lower_is_better: bool) -> None:
    sentence = said(pair(laptop, metric, worst=lower_is_better)[0])
    better, worse = "-+" if lower_is_better else "+-"
    assert sentence.startswith(f"Better: CAGrad, c = 0.5 ({better}0.00")
    assert f"worse: SAM-GS ({worse}0.0" in sentence
    assert f"against the sum, {measure(metric).name}, mean of tasks, n = 3" in sentence


def test_lines_outside_the_controlled_table_are_only_named(laptop: Path) -> None:
    groups, _ = pair(laptop, "accuracy")
    other = groups["multi_fashion_mnist-static-70"]
    before = said(groups)
    groups["multi_fashion_mnist-static-70"] = [dataclasses.replace(run, track="reference") for run in other]
    sentence = said(groups)
    assert sentence.endswith(" Outside this comparison: static, 70 % (track reference).")
    assert sentence.count("static, 70 %") == 1 == before.count("static, 70 %")
