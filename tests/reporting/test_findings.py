"""Verdicts follow the rule that was fixed beforehand, and no sentence says more than its numbers."""

import dataclasses
import json
from pathlib import Path

import pytest

from gradsurgery.reporting.comparison import evaluate
from gradsurgery.reporting.findings import direction, image_sentence, judge, landscape_sentence
from gradsurgery.reporting.published import Answer, Record
from gradsurgery.reporting.statistics import Summary
from pipelines.evaluate import read_histories

CLAIM = Record(
    id="p/claim", paper="p", cell="Table 1", statement="A claim", task="all", metric="starts", direction=None,
    kind="count", value=2.0, seeds=None, selection="last", data="landscape", network="point", origin="paper",
    doubtful=None, answered_by=Answer("cagrad_toy-mean", "stuck"), unanswered=None, headline=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "claimed", "verdict"),
    [
        (0.1, 0.3, "higher", "direction only"),
        (-0.3, -0.1, "lower", "direction only"),
        (-0.3, -0.1, "higher", "not reproduced"),
        (-0.1, 0.3, "higher", "no difference detected"),
        (0.0, 0.3, "higher", "no difference detected"),
    ],
)
def test_direction_needs_an_interval_without_zero(low: float, high: float, claimed: str, verdict: str) -> None:
    assert direction(Summary(3, (low + high) / 2, 0.1, low, high), claimed) == verdict


def test_direction_needs_more_than_the_test_set_can_explain() -> None:
    narrow = Summary(3, 0.18, 0.002, 0.17, 0.18)
    assert direction(narrow, "higher", noise=0.2) == "no difference detected"
    assert direction(narrow, "higher", noise=0.1) == "direction only"


def test_one_repeat_shows_nothing() -> None:
    assert direction(Summary(1, 5.0, None, None, None), "higher") == "not run (one repeat has no interval)"


@pytest.fixture
def laptop(checkout: Path) -> Path:
    """The made-up checkout as if it had run at laptop scale, where landscapes have their full length."""
    for path in (checkout / "reports/history").glob("*.jsonl"):
        runs = [json.loads(line) | {"scale": "laptop"} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(run) + "\n" for run in runs))
    return checkout


@pytest.mark.parametrize(
    ("kind", "value", "verdict"),
    [
        ("count", 2.0, "reproduced"), ("count", 3.0, "not reproduced"), ("at_least", 2.0, "reproduced"),
        ("at_least", 3.0, "not reproduced"), ("at_most", 2.0, "reproduced"), ("at_most", 1.0, "not reproduced"),
    ],
)  # fmt: skip
def test_counts_and_bounds_on_a_landscape(laptop: Path, kind: str, value: float, verdict: str) -> None:
    groups = read_histories(laptop / "reports/history")
    finding = judge(dataclasses.replace(CLAIM, kind=kind, value=value), groups, evaluate(groups, {}))
    assert (finding.ours, finding.verdict) == ("2 of 5", verdict)
    assert finding.where == "full length, as-published"


def test_smoke_landscapes_and_missing_experiments_are_not_run(checkout: Path) -> None:
    groups = read_histories(checkout / "reports/history")
    metrics = evaluate(groups, {})
    assert judge(CLAIM, groups, metrics).verdict == "not run (smoke scale is too short to say)"
    missing = dataclasses.replace(CLAIM, answered_by=Answer("cagrad_toy-none", "stuck"))
    assert judge(missing, groups, metrics).verdict == "not run (no history of cagrad_toy-none)"


def test_a_level_cannot_be_reproduced_below_paper_scale(laptop: Path) -> None:
    groups = read_histories(laptop / "reports/history")
    level = dataclasses.replace(
        CLAIM,
        kind="level",
        value=91.0,
        metric="accuracy",
        answered_by=Answer("multi_fashion_mnist-sum", "left.accuracy"),
    )
    assert judge(level, groups, evaluate(groups, {})).verdict == "not run (needs scale: paper)"


def test_difference_is_paired_and_says_its_n(laptop: Path) -> None:
    groups = read_histories(laptop / "reports/history")
    answer = Answer("multi_fashion_mnist-sam_gs", "left.accuracy", "multi_fashion_mnist-sum")
    claim = dataclasses.replace(CLAIM, kind="difference", direction="higher", value=0.5, answered_by=answer)
    finding = judge(claim, groups, evaluate(groups, {}))
    assert finding.ours.startswith("-0.3")
    assert finding.ours.endswith("(n = 3)")
    assert finding.verdict in ("not reproduced", "no difference detected")


def test_sentences_name_both_sides(checkout: Path) -> None:
    metrics = evaluate(read_histories(checkout / "reports/history"), {})
    toy = landscape_sentence("cagrad_toy", metrics)
    assert toy == (
        "Solved from all 5 starts: (CAGrad, c = 0.5); from 3: mean. Stuck above zero loss, of 5 starts: mean from 2."
    )
    sentence = image_sentence("multi_fashion_mnist", metrics)
    assert sentence.startswith("More accurate than the sum: CAGrad, c = 0.5 (+0.3")
    assert "less accurate: SAM-GS (-0.4" in sentence
    assert "no difference detected beyond the noise of seeds and test set: mean." in sentence
    assert "paired over 3 seeds, scale smoke; uncorrected for 6 comparisons." in sentence


def test_a_small_test_set_silences_the_sentence(checkout: Path) -> None:
    groups = read_histories(checkout / "reports/history")
    small = {
        name: [dataclasses.replace(r, declaration={**r.declaration, "settings": {"test_size": 100}}) for r in runs]
        for name, runs in groups.items()
        if name.startswith("multi_fashion_mnist-")
    }
    sentence = image_sentence("multi_fashion_mnist", evaluate(small, {}))
    assert sentence.startswith("No difference detected beyond the noise of seeds and test set: ")
