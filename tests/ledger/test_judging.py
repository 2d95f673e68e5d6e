"""Verdicts follow the rule that was fixed beforehand, and no sentence says more than its numbers."""

import dataclasses
import json
from pathlib import Path

import pytest

from gradsurgery.evidence.contrasts import side_of
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import capital, measure
from gradsurgery.evidence.statistics import Summary
from gradsurgery.ledger.judging import judge, published_value
from gradsurgery.ledger.records import Answer, Record
from gradsurgery.ledger.words import direction
from gradsurgery.report.sentences import image_sentence, landscape_sentence
from pipelines.evaluate import read_histories
from tests.histories import scores_of, with_examples

CLAIM = Record(
    id="p/claim", paper="p", version="v1", cell="Table 1", statement="A claim", task="all", metric="starts",
    direction=None, kind="count", value=2.0, spread=None, spread_kind=None, margin=None, seeds=None, selection="last",
    data="landscape", network="point", origin="paper", twin=None, doubtful=None,
    answered_by=Answer("cagrad_toy-mean", "stuck"), unanswered=None, headline=False, short=None,
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
    assert direction(side_of(Summary(3, (low + high) / 2, 0.1, low, high)), claimed == "higher") == verdict


def test_direction_needs_more_than_the_test_set_can_explain() -> None:
    narrow = Summary(3, 0.18, 0.002, 0.17, 0.18)
    assert direction(side_of(narrow, 0.2)) == "no difference detected"
    assert direction(side_of(narrow, 0.1)) == "direction only"
    below = Summary(3, -0.18, 0.002, -0.18, -0.17)
    assert direction(side_of(below, 0.2)) == "no difference detected"
    assert direction(side_of(below, 0.1), better=False) == "direction only"


def test_one_repeat_shows_nothing() -> None:
    assert direction(side_of(Summary(1, 5.0, None, None, None))) == "not run (one repeat has no interval)"


@pytest.fixture
def laptop(checkout: Path) -> Path:
    """The made-up checkout as if it had run at laptop scale, where landscapes have their full length."""
    for path in checkout.glob("reports/history/*/*/*.jsonl"):
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
    finding = judge(dataclasses.replace(CLAIM, kind=kind, value=value), groups, scores_of(groups, {}))
    assert (finding.ours, finding.verdict) == ("2 of 5", verdict)
    assert finding.where == "full length, as-published"


def test_smoke_landscapes_and_missing_experiments_are_not_run(checkout: Path) -> None:
    groups = read_histories(checkout / "reports/history")
    metrics = scores_of(groups, {})
    assert judge(CLAIM, groups, metrics).verdict == "not run (smoke scale is too short to say)"
    missing = dataclasses.replace(CLAIM, answered_by=Answer("cagrad_toy-none", "stuck"))
    assert judge(missing, groups, metrics).verdict == "not run (no history of cagrad_toy-none)"
    compared = Answer("multi_fashion_mnist-sum", "left.accuracy", "multi_fashion_mnist-none")
    half = dataclasses.replace(CLAIM, kind="difference", direction="higher", answered_by=compared)
    assert judge(half, groups, metrics).verdict == "not run (no history of multi_fashion_mnist-none)"


def test_a_level_cannot_be_reproduced_below_paper_scale(laptop: Path) -> None:
    groups = read_histories(laptop / "reports/history")
    level = dataclasses.replace(
        CLAIM,
        kind="level",
        value=91.0,
        metric="accuracy",
        answered_by=Answer("multi_fashion_mnist-sum", "left.accuracy"),
    )
    assert judge(level, groups, scores_of(groups, {})).verdict == "not run (needs scale: paper)"


def test_difference_is_paired_and_says_its_n(laptop: Path) -> None:
    groups = read_histories(laptop / "reports/history")
    answer = Answer("multi_fashion_mnist-sam_gs", "left.accuracy", "multi_fashion_mnist-sum")
    claim = dataclasses.replace(CLAIM, kind="difference", direction="higher", value=0.5, answered_by=answer)
    finding = judge(claim, groups, scores_of(groups, {}))
    assert finding.ours.startswith("-0.3")
    assert finding.ours.endswith("(n = 3)")
    assert finding.verdict in ("not reproduced", "no difference detected")


def test_sentences_name_both_sides(checkout: Path) -> None:
    metrics = plain(scores_of(read_histories(checkout / "reports/history"), {}))
    toy = landscape_sentence("cagrad_toy", metrics)
    assert toy == (
        "Solved from all 5 starts: (CAGrad, c = 0.5); from 3: mean. Stuck above zero loss, of 5 starts: mean from 2."
    )
    sentence = image_sentence("multi_fashion_mnist", metrics)
    assert sentence.startswith("More accurate than the sum: CAGrad, c = 0.5 (+0.3")
    assert "less accurate: SAM-GS (-0.4" in sentence
    assert "no difference detected beyond the noise of seeds: mean." in sentence  # these histories know no test size
    assert "paired over 3 seeds, scale smoke; uncorrected for 6 comparisons." in sentence


def test_a_small_test_set_silences_the_sentence(checkout: Path) -> None:
    groups = read_histories(checkout / "reports/history")
    small = {
        name: [with_examples(run, 100) for run in runs]
        for name, runs in groups.items()
        if name.startswith("multi_fashion_mnist-")
    }
    sentence = image_sentence("multi_fashion_mnist", scores_of(small, {}))
    assert sentence.startswith("No difference detected beyond the noise of seeds and test set: ")


def plain(metrics: dict) -> dict:
    """Metrics without what other rules of the report add to a difference, so that a test says what it is about."""
    for record in metrics.values():
        record.pop("excluded", None)
        for entry in record.get("minus_sum", {}).values():
            for added in ("p_holm", "test_noise"):
                entry.pop(added, None)
    return metrics


def pair(
    laptop: Path, metric: str, scale: float = 1.0, worst: bool = False, word: str = "accuracy"
) -> tuple[dict, dict]:
    """The image problem with its accuracies under another name, scaled, turned round where lower is better."""
    groups = {}
    for name, runs in read_histories(laptop / "reports/history").items():
        if not name.startswith("multi_fashion_mnist-"):
            continue
        groups[name] = [
            dataclasses.replace(
                run,
                metrics={f"{task}.{metric}": not worst for task in run.tasks},
                epochs=[
                    {k.replace(word, metric): scale * (1 - v if worst else v) if word in k else v for k, v in e.items()}
                    for e in run.epochs
                ],
            )
            for run in runs
        ]
    return groups, plain(scores_of(groups, {}))


def difference(method: str, metric: str, way: str, kind: str = "difference") -> Record:
    answer = Answer(f"multi_fashion_mnist-{method}", metric, "multi_fashion_mnist-sum")
    return dataclasses.replace(CLAIM, kind=kind, direction=way, value=0.5, answered_by=answer)


@pytest.mark.parametrize(
    ("metric", "lower_is_better", "ours"),
    [("accuracy", False, "+0.3"), ("auc", False, "+0.003"), ("ssim", False, "+0.003"), ("mae", True, "-0.003")],
)  # fmt: skip
def test_a_difference_is_told_in_the_unit_of_its_metric(
    laptop: Path, metric: str, lower_is_better: bool, ours: str
) -> None:
    groups, metrics = pair(laptop, metric, worst=lower_is_better)
    finding = judge(difference("cagrad-c0_5", f"all.{metric}", "higher"), groups, metrics)
    assert finding.ours.startswith(ours)


@pytest.mark.parametrize(("metric", "lower_is_better"), [("auc", False), ("mae", True)])
def test_the_sentence_respects_the_direction_of_its_metric(laptop: Path, metric: str, lower_is_better: bool) -> None:
    _, metrics = pair(laptop, metric, worst=lower_is_better)
    sentence = image_sentence("multi_fashion_mnist", metrics)
    sign, other = ("-", "+") if lower_is_better else ("+", "-")
    assert sentence.startswith(f"Better than the sum: CAGrad, c = 0.5 ({sign}0.00")
    assert f"worse: SAM-GS ({other}0.0" in sentence
    assert f". {capital(measure(metric).name)}, mean of tasks, paired over 3 seeds" in sentence
    assert "accurate" not in sentence


def test_problems_of_two_metrics_get_a_sentence_for_each(laptop: Path) -> None:
    groups, _ = pair(laptop, "accuracy")
    mixed = {
        name: [
            dataclasses.replace(
                run,
                metrics={"left.mae": False, "right.ssim": True},
                epochs=[
                    {
                        k.replace("left.accuracy", "left.mae").replace("right.accuracy", "right.ssim"): v
                        for k, v in e.items()
                    }
                    for e in run.epochs
                ],
            )
            for run in runs
        ]
        for name, runs in groups.items()
        if "single_task" not in name
    }
    metrics = plain(scores_of(mixed, {"multi_fashion_mnist": "last"}))
    sentence = image_sentence("multi_fashion_mnist", metrics)
    assert "Mean absolute error, paired" in sentence
    assert "SSIM, paired" in sentence
    first, second = sentence.split("comparisons.")[:2]
    assert first.startswith("Better than the sum: static, 70 % (-")
    assert second.startswith(" Worse: static, 30 % (-")


def test_holms_correction_can_silence_a_sentence(laptop: Path) -> None:
    _, metrics = pair(laptop, "accuracy")
    for record in metrics.values():
        if record.get("minus_sum"):
            record["minus_sum"]["all"]["p_holm"] = 0.2
    sentence = image_sentence("multi_fashion_mnist", metrics)
    assert sentence.startswith("No difference detected")
    assert sentence.endswith("; corrected (Holm) for 6 comparisons.")


def test_unknown_metrics_are_refused(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    with pytest.raises(ValueError, match=r"must be one that multi_fashion_mnist-sum has"):
        judge(difference("pcgrad", "middle.accuracy", "higher"), groups, metrics)


@pytest.mark.parametrize(("way", "verdict"), [("lower", "not reproduced"), ("higher", "direction only")])
def test_a_claim_of_no_difference_falls_only_one_way(laptop: Path, way: str, verdict: str) -> None:
    groups, metrics = pair(laptop, "auc")
    finding = judge(difference("sam_gs", "all.auc", way, "no_difference"), groups, metrics)
    assert finding.verdict == verdict, finding
    same = judge(difference("mean", "all.auc", way, "no_difference"), groups, metrics)
    assert same.verdict == "no difference detected"


@pytest.mark.parametrize(
    ("kind", "value", "verdict"),
    [("at_least", 0.5, "direction only"), ("at_least", 0.99, "not reproduced"), ("at_most", 0.99, "direction only"),
     ("at_least", 0.9, "no difference detected")],
)  # fmt: skip
def test_bounds_on_a_metric_are_about_direction(laptop: Path, kind: str, value: float, verdict: str) -> None:
    groups, metrics = pair(laptop, "auc")
    answer = Answer("multi_fashion_mnist-sum", "left.auc")
    finding = judge(dataclasses.replace(CLAIM, kind=kind, value=value, answered_by=answer), groups, metrics)
    assert finding.verdict == verdict, finding


def test_cells_are_judged_by_their_distance_from_the_baseline(laptop: Path) -> None:
    groups, metrics = pair(laptop, "auc")
    answer = Answer("multi_fashion_mnist-cagrad-c0_5", "left.auc", "multi_fashion_mnist-sum")
    cell = dataclasses.replace(CLAIM, kind="level", value=0.97, metric="auc", answered_by=answer, margin=0.02)
    assert judge(cell, groups, metrics).verdict == "direction only"
    assert "minus baseline +0.0" in judge(cell, groups, metrics).ours
    assert judge(dataclasses.replace(cell, margin=-0.02), groups, metrics).verdict == "not reproduced"
    assert judge(dataclasses.replace(cell, margin=0.0), groups, metrics).verdict == "not run (needs scale: paper)"


def test_a_cell_at_scale_paper_is_reproduced_unless_it_is_a_twin(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    groups = {n: [dataclasses.replace(run, scale="paper") for run in runs] for n, runs in groups.items()}
    name = "multi_fashion_mnist-cagrad-c0_5"
    level = 100 * metrics[name]["left.accuracy"]["mean"]
    answer = Answer(name, "left.accuracy", "multi_fashion_mnist-sum")
    cell = dataclasses.replace(CLAIM, kind="level", value=level, metric="accuracy", answered_by=answer, margin=0.3)
    assert judge(cell, groups, metrics).verdict == "reproduced"
    far = dataclasses.replace(cell, value=level - 9.0)
    assert judge(far, groups, metrics).verdict in ("direction only", "no difference detected")
    twin = judge(dataclasses.replace(cell, twin="another network"), groups, metrics)
    assert twin.verdict != "reproduced"
    assert twin.where.endswith("twin")


@pytest.mark.parametrize(
    ("levels", "distance", "verdict"),
    [
        # sd 0.1 points, n = 3, three published seeds: the prediction interval is 4.303 * 0.1 * sqrt(2 / 3) = 0.351 wide
        ((0.900, 0.901, 0.902), 0.30, "reproduced"), ((0.900, 0.901, 0.902), -0.34, "reproduced"),
        ((0.900, 0.901, 0.902), 0.36, "not reproduced"),
        # sd 2 points: the interval is wide, and the tolerance of half a point decides
        ((0.880, 0.900, 0.920), 0.49, "reproduced"), ((0.880, 0.900, 0.920), -0.51, "not reproduced"),
    ],
)  # fmt: skip
def test_reproduced_needs_the_prediction_interval_and_the_tolerance(
    laptop: Path, levels: tuple[float, ...], distance: float, verdict: str
) -> None:
    groups, metrics = pair(laptop, "accuracy")
    name = "multi_fashion_mnist-sum"
    groups[name] = [
        dataclasses.replace(run, scale="paper", epochs=[row | {"test.left.accuracy": level} for row in run.epochs])
        for run, level in zip(groups[name], levels, strict=True)
    ]
    value = 100 * sum(levels) / 3 + distance
    cell = dataclasses.replace(
        CLAIM, kind="level", value=value, metric="accuracy", seeds=3, answered_by=Answer(name, "left.accuracy")
    )
    assert judge(cell, groups, metrics).verdict == verdict
    alone = {name: groups[name][:1]}
    assert judge(cell, alone, metrics).verdict == "not run (one repeat has no interval)"


def test_cells_and_bounds_are_held_against_the_noise_of_the_test_set_too(laptop: Path) -> None:
    groups, metrics = pair(laptop, "auc")
    small = {name: [with_examples(run, 100) for run in runs] for name, runs in groups.items()}
    answer = Answer("multi_fashion_mnist-cagrad-c0_5", "left.auc", "multi_fashion_mnist-sum")
    cell = dataclasses.replace(CLAIM, kind="level", value=0.97, metric="auc", answered_by=answer, margin=0.02)
    assert judge(cell, groups, metrics).verdict == "direction only"
    assert judge(cell, small, metrics).verdict == "no difference detected"
    tiny = {name: [with_examples(run, 4) for run in runs] for name, runs in groups.items()}
    bound = dataclasses.replace(
        CLAIM, kind="at_least", value=0.7, metric="auc", answered_by=Answer("multi_fashion_mnist-sum", "left.auc")
    )
    assert judge(bound, groups, metrics).verdict == "direction only"
    assert judge(bound, tiny, metrics).verdict == "no difference detected"


def with_cosine(runs: list[Run], value: float) -> list[Run]:
    """The runs as if they had logged two steps, the first with this cosine, and a row of something else."""
    rows = [
        {"step": 0, "mean_cosine": value, "conflict_share": float(value < 0)},
        {"step": 1, "mean_cosine": 0.5, "conflict_share": 0.0},
        {"step": 1, "router.share": 1.0},
    ]
    return [dataclasses.replace(run, diagnostics=rows) for run in runs]


def test_conflict_is_measured_on_the_logged_steps(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    groups["multi_fashion_mnist-sum"] = with_cosine(groups["multi_fashion_mnist-sum"], -0.5)
    groups["multi_fashion_mnist-pcgrad"] = with_cosine(groups["multi_fashion_mnist-pcgrad"], -0.005)
    severe = judge(difference("pcgrad", "severe_conflict", "lower"), groups, metrics)
    assert severe.ours.startswith("-50.0")
    any_size = judge(difference("pcgrad", "conflict_share", "lower"), groups, metrics)
    assert any_size.ours.startswith("+0.0")
    groups["multi_fashion_mnist-pcgrad"] = [
        dataclasses.replace(run, diagnostics=[]) for run in groups["multi_fashion_mnist-pcgrad"]
    ]
    unlogged = judge(difference("pcgrad", "severe_conflict", "lower"), groups, metrics)
    assert unlogged.verdict == "not run (the runs logged no cosines)"


def test_published_values_say_what_a_reader_must_know() -> None:
    record = dataclasses.replace(CLAIM, kind="level", value=0.415, spread=0.007, spread_kind="interval")
    assert published_value(record) == "0.415 ± 0.007"
    assert published_value(dataclasses.replace(record, doubtful="copied")) == "0.415 ± 0.007 (doubtful)"
    assert published_value(dataclasses.replace(record, origin="recomputed")).endswith("(not printed; recomputed)")
    claim = dataclasses.replace(
        CLAIM, kind="difference", direction="lower", value=None, answered_by=None, unanswered="x"
    )
    assert published_value(claim) == "lower, not printed"


def test_lines_outside_the_controlled_table_are_only_named(laptop: Path) -> None:
    _, metrics = pair(laptop, "accuracy")
    metrics["multi_fashion_mnist-static-70"]["excluded"] = ["its clip differs"]
    sentence = image_sentence("multi_fashion_mnist", metrics)
    assert sentence.endswith("for 5 comparisons. Outside this comparison: static, 70 % (breaks its terms).")
    assert sentence.count("static, 70 %") == 1


def test_lines_of_another_track_are_only_named(laptop: Path) -> None:
    """A sum with twice the epochs is no method that beats the sum."""
    _, metrics = pair(laptop, "accuracy")
    before = image_sentence("multi_fashion_mnist", metrics)
    long = {**metrics["multi_fashion_mnist-cagrad-c0_5"], "method": "sum-long", "track": "reference"}
    sentence = image_sentence("multi_fashion_mnist", {**metrics, "multi_fashion_mnist-sum-long": long})
    assert sentence == f"{before} Outside this comparison: sum, long (track reference)."


def test_a_lucky_interval_of_aucs_is_no_difference_where_the_test_set_explains_it(laptop: Path) -> None:
    groups, metrics = pair(laptop, "auc")
    claim = difference("cagrad-c0_5", "left.auc", "higher")
    assert judge(claim, groups, metrics).verdict == "direction only"
    few, many = ({name: [with_examples(run, n) for run in runs] for name, runs in groups.items()} for n in (100, 10**6))
    small = judge(claim, few, metrics)
    assert small.verdict == "no difference detected"
    assert "the test set's size alone explains" in small.why
    large = judge(claim, many, metrics)
    assert large.verdict == "direction only"
