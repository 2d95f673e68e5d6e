"""Verdicts follow the rule that was fixed beforehand, and no sentence says more than its numbers."""

import dataclasses
from pathlib import Path

import pytest

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.power import decides
from gradsurgery.ledger import judging
from gradsurgery.ledger.judging import Ours, judge
from gradsurgery.ledger.measured import level_of
from gradsurgery.ledger.protocol import Design, Protocol
from gradsurgery.ledger.records import Answer, Paper, Record
from gradsurgery.ledger.verdicts import find
from pipelines._evidence import read_histories
from tests.histories import pair, scores_of
from tests.published import CLAIM


@pytest.mark.parametrize(
    ("kind", "value", "verdict"),
    [
        ("count", 2.0, "reproduced"), ("count", 3.0, "smaller than published"),
        ("count", 1.0, "direction only"), ("count", 0.0, "opposite"), ("at_least", 2.0, "reproduced"),
        ("at_least", 3.0, "smaller than published"), ("at_most", 2.0, "reproduced"), ("at_most", 1.0, "opposite"),
    ],
)  # fmt: skip
def test_counts_and_bounds_on_a_landscape(laptop: Path, kind: str, value: float, verdict: str) -> None:
    groups = read_histories(laptop / "reports/history")
    finding = judge(dataclasses.replace(CLAIM, kind=kind, value=value), Ours(groups, scores_of(groups, {})))
    assert (finding.ours, finding.verdict) == ("2 of 5", verdict)
    assert finding.where == "full length, as-published"


def test_smoke_landscapes_and_missing_experiments_are_not_run(checkout: Path) -> None:
    groups = read_histories(checkout / "reports/history")
    metrics = scores_of(groups, {})
    assert judge(CLAIM, Ours(groups, metrics)).verdict == "not run (smoke scale is too short to say)"
    missing = dataclasses.replace(CLAIM, answered_by=Answer("cagrad_toy-none", "stuck"))
    assert judge(missing, Ours(groups, metrics)).verdict == "not run (no history of cagrad_toy-none)"
    compared = Answer("multi_fashion_mnist-sum", "left.accuracy", "multi_fashion_mnist-none")
    half = dataclasses.replace(CLAIM, kind="difference", direction="higher", answered_by=compared)
    assert judge(half, Ours(groups, metrics)).verdict == "not run (no history of multi_fashion_mnist-none)"


def test_a_level_alone_is_not_judged(laptop: Path) -> None:
    groups = read_histories(laptop / "reports/history")
    level = dataclasses.replace(
        CLAIM,
        kind="level",
        value=91.0,
        metric="accuracy",
        answered_by=Answer("multi_fashion_mnist-sum", "left.accuracy"),
    )
    assert (
        judge(level, Ours(groups, scores_of(groups, {}))).verdict
        == "not run (a level alone means nothing at another scale)"
    )


def test_difference_is_paired_and_says_its_n(laptop: Path) -> None:
    groups = read_histories(laptop / "reports/history")
    answer = Answer("multi_fashion_mnist-sam_gs", "left.accuracy", "multi_fashion_mnist-sum")
    claim = dataclasses.replace(CLAIM, kind="difference", direction="higher", value=0.5, answered_by=answer)
    finding = judge(claim, Ours(groups, scores_of(groups, {})))
    assert finding.ours.startswith("-0.3")
    assert finding.ours.endswith("(n = 3)")
    assert finding.verdict == "opposite"


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
    finding = judge(difference("cagrad-c0_5", f"all.{metric}", "higher"), Ours(groups, metrics))
    assert finding.ours.startswith(ours)


def test_unknown_metrics_are_refused(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    with pytest.raises(ValueError, match=r"must be one that multi_fashion_mnist-sum has"):
        judge(difference("pcgrad", "middle.accuracy", "higher"), Ours(groups, metrics))


@pytest.mark.parametrize(("way", "verdict"), [("lower", "opposite"), ("higher", "direction only")])
def test_a_claim_of_no_difference_falls_only_one_way(laptop: Path, way: str, verdict: str) -> None:
    groups, metrics = pair(laptop, "auc")
    finding = judge(difference("sam_gs", "all.auc", way, "no_difference"), Ours(groups, metrics))
    assert finding.verdict == verdict, finding
    same = difference("mean", "all.auc", way, "no_difference")
    assert judge(same, Ours(groups, metrics)).verdict == "inconclusive", "without a margin nothing is equal"
    assert judge(same, Ours(groups, metrics, protocol=protocol(auc=0.005))).verdict == "practically equal"


@pytest.mark.parametrize(
    ("kind", "value", "verdict"),
    [("at_least", 0.5, "reproduced"), ("at_least", 0.99, "opposite"), ("at_most", 0.99, "reproduced"),
     ("at_least", 0.9, "inconclusive")],
)  # fmt: skip
def test_bounds_hold_with_the_whole_interval(laptop: Path, kind: str, value: float, verdict: str) -> None:
    groups, metrics = pair(laptop, "auc")
    answer = Answer("multi_fashion_mnist-sum", "left.auc")
    finding = judge(dataclasses.replace(CLAIM, kind=kind, value=value, answered_by=answer), Ours(groups, metrics))
    assert finding.verdict == verdict, finding


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.3, "reproduced"), (0.9, "direction only"), (0.1, "direction only"), (-0.3, "opposite")]
)
def test_size_and_direction_are_the_paper_s(laptop: Path, value: float, verdict: str) -> None:
    groups, metrics = pair(laptop, "accuracy")
    claim = dataclasses.replace(difference("cagrad-c0_5", "all.accuracy", "higher"), value=value)
    claim = dataclasses.replace(claim, direction="higher" if value > 0 else "lower")
    assert judge(claim, Ours(groups, metrics)).verdict == verdict


def test_a_cell_is_its_distance_from_the_baseline(laptop: Path) -> None:
    groups, metrics = pair(laptop, "auc")
    answer = Answer("multi_fashion_mnist-cagrad-c0_5", "left.auc", "multi_fashion_mnist-sum")
    cell = dataclasses.replace(CLAIM, kind="level", value=0.97, metric="auc", answered_by=answer, margin=0.003)
    found = judge(cell, Ours(groups, metrics))
    assert found.verdict == "reproduced"
    assert "minus baseline +0.0" in found.ours
    assert judge(dataclasses.replace(cell, margin=-0.02), Ours(groups, metrics)).verdict == "opposite"
    assert judge(dataclasses.replace(cell, margin=0.0), Ours(groups, metrics)).verdict.startswith("not run (a level")


def protocol(designs: tuple[Design, ...] = (), **margins: float) -> Protocol:
    return Protocol(0.05, 0.8, margins, 1000, {"p": designs}, "hash")


def test_what_is_inconclusive_says_what_would_decide(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    claim = dataclasses.replace(difference("mean", "all.accuracy", "higher"), value=0.02)
    costs = {name: {"seeds": {"0": {"seconds": 2.0}, "1": {"seconds": 4.0}}} for name in groups}
    found = judge(claim, Ours(groups, metrics, costs=costs))
    assert found.verdict == "inconclusive"
    assert found.contrast is not None
    n = decides(0.0002, found.contrast.spread)
    assert n is not None
    assert f"{n} seeds would decide, {6 * (n - 3):,} more seconds" in found.why
    assert "it would find " in found.why
    lost = judge(dataclasses.replace(claim, value=None), Ours(groups, metrics))
    assert "nothing says how many seeds would decide" in lost.why


def test_a_claim_is_confirmatory_where_it_was_registered_for_its_scale(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    claim = difference("cagrad-c0_5", "all.accuracy", "higher")
    registered = protocol((Design(claim.id, "laptop", 3),))
    assert not judge(claim, Ours(groups, metrics, protocol=registered)).confirmatory, "no history carries the hash"


def test_holm_is_over_the_confirmatory_claims_of_a_paper(laptop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_registered", lambda *given: True)
    groups, metrics = pair(laptop, "accuracy")
    names = [f"p/{i}" for i in range(5)]
    weak = difference("pcgrad", "all.accuracy", "higher")
    claims = [dataclasses.replace(weak, id=name, value=0.2) for name in names]
    alone, many = (protocol(tuple(Design(name, "laptop", 3) for name in own)) for own in (names[:1], names))
    paper = Paper("p", "t", "a", 2020, "1", "v1", tuple(claims), ())
    words = {
        len(own.designs["p"]): [f.verdict for f in find([paper], Ours(groups, metrics, protocol=own))["p"]]
        for own in (alone, many)
    }
    p = judge(claims[0], Ours(groups, metrics)).gain.p
    assert p is not None
    assert p < 0.05 < 5 * p
    assert words == {1: ["reproduced"] * 5, 5: ["inconclusive"] * 5}


def test_a_method_that_changed_no_step_is_not_exercised(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    name = "multi_fashion_mnist-pcgrad"
    groups[name] = [dataclasses.replace(run, activity={"share_changed": 0.0}) for run in groups[name]]
    claim = difference("pcgrad", "all.accuracy", "higher")
    found = judge(claim, Ours(groups, metrics))
    assert (found.verdict, "acted in" in found.place) == ("not exercised", False)
    groups[name] = [dataclasses.replace(run, activity={"share_changed": 0.1}) for run in groups[name]]
    assert judge(claim, Ours(groups, metrics)).verdict != "not exercised"


def test_a_method_that_rarely_acted_is_judged_and_the_row_says_how_rarely(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    name = "multi_fashion_mnist-pcgrad"
    claim = difference("pcgrad", "all.accuracy", "higher")
    for share, said in ((0.012, True), (0.19, True), (0.2, False)):
        groups[name] = [dataclasses.replace(run, activity={"share_changed": share}) for run in groups[name]]
        place = judge(claim, Ours(groups, metrics)).place
        assert (f", acted in {100 * share:.2g} % of its steps" in place) == said, share


def test_the_levels_that_a_difference_is_of_stand_beside_it(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    ours = Ours(groups, metrics)
    found = judge(difference("pcgrad", "all.accuracy", "higher"), ours)
    levels = [level_of(ours.line(f"multi_fashion_mnist-{name}"), "all.accuracy") for name in ("pcgrad", "sum")]
    said = [measure("all.accuracy").say(level, signed=False) for level in levels]
    assert " against ".join(said) in found.why


def test_a_claim_on_a_part_that_is_in_force_in_every_step_needs_no_activity(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    name = "multi_fashion_mnist-pcgrad"
    groups[name] = [dataclasses.replace(run, activity={"share_changed": 0.0}) for run in groups[name]]
    claim = difference("pcgrad", "all.accuracy", "higher")
    assert claim.answered_by is not None
    about = dataclasses.replace(claim, answered_by=dataclasses.replace(claim.answered_by, in_force="the average"))
    assert judge(claim, Ours(groups, metrics)).verdict == "not exercised"
    assert judge(about, Ours(groups, metrics)).verdict != "not exercised"


def test_a_claim_of_which_a_line_had_not_settled_says_so_where_it_says_its_scale(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    claim = difference("pcgrad", "all.accuracy", "higher")
    for line, tail in (("none", ""), ("sum", ", still improving"), ("pcgrad", ", still improving")):
        changed = {n: m | {"improving": n.endswith(line)} for n, m in metrics.items()}
        assert judge(claim, Ours(groups, changed)).where == f"laptop, controlled{tail}"


def test_seeds_that_do_not_pair_are_counted_on_both_sides(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    name = "multi_fashion_mnist-pcgrad"
    redrawn = {"transform": {"name": "recon"}}
    groups[name] = [dataclasses.replace(run, declaration=run.declaration | redrawn) for run in groups[name][:2]]
    assert "; 2 seeds against 3" in judge(
        difference("pcgrad", "all.accuracy", "higher"), Ours(groups, metrics)
    ).why.replace(", equal epochs", "")


def test_lines_on_different_budgets_are_refused(laptop: Path) -> None:
    groups, metrics = pair(laptop, "accuracy")
    name = "multi_fashion_mnist-pcgrad"
    groups[name] = [dataclasses.replace(run, epochs=run.epochs[:2]) for run in groups[name]]
    with pytest.raises(ValueError, match="`minus` of multi_fashion_mnist-pcgrad must be a line on its own budget"):
        judge(difference("pcgrad", "all.accuracy", "higher"), Ours(groups, metrics))


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
    severe = judge(difference("pcgrad", "severe_conflict", "lower"), Ours(groups, metrics))
    assert severe.ours.startswith("-50.0")
    any_size = judge(difference("pcgrad", "conflict_share", "lower"), Ours(groups, metrics))
    assert any_size.ours.startswith("+0.0")
    groups["multi_fashion_mnist-pcgrad"] = [
        dataclasses.replace(run, diagnostics=[]) for run in groups["multi_fashion_mnist-pcgrad"]
    ]
    unlogged = judge(difference("pcgrad", "severe_conflict", "lower"), Ours(groups, metrics))
    assert unlogged.verdict == "not run (the runs logged no cosines)"
