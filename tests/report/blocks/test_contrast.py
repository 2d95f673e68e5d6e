"""Planned comparisons on made-up histories: what is said must follow the numbers, whichever way they fall."""

import dataclasses

import pytest

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.roles import Role
from gradsurgery.report.blocks.contrast import part
from gradsurgery.report.style import svg
from tests.histories import evidence_of, with_examples

PROBLEM, METRICS = "cifar100_reconstruction", {"l1.mae": False, "ssim.ssim": True}
TOLD = [["gcond", "sum"], ["gcond", "sum-ema"], ["gcond-raw", "sum"]]


def _run(method, seed, up):
    """One seed that is better than the sum by `up` on both metrics; seeds share a shift."""
    shift = 0.01 * seed
    row = {"epoch": 1, "train.l1.loss": 1.0}
    for name, higher in METRICS.items():
        row |= {f"{split}.{name}": (0.6 + shift + up if higher else 0.4 - shift - up) for split in ("val", "test")}
    return Run(
        f"{PROBLEM}-{method}", PROBLEM, seed, "laptop", "controlled", "gcond", Role("study"),
        {"settings": {"batch_size": 16}, "balancer": {"name": "equal"}}, ["l1", "ssim"], METRICS, "", [row],
        [], 0, None,
    )  # fmt: skip


def _evidence(**ups):
    """Lines by their gain, with noise of each run's own."""
    groups = {}
    for name, up in ups.items():
        method = name.replace("__", "-")
        groups[f"{PROBLEM}-{method}"] = [
            with_examples(_run(method, s, up + (1e-4 * (s - 1) if method != "sum" else 0.0)), 2000) for s in range(3)
        ]
    return evidence_of(groups, margin=0.03)


def _part(evidence, **settings):
    return part("gcond", evidence, "gcond", TOLD, **settings)


def test_nothing_is_said_where_nothing_was_compared():
    assert _part(evidence_of({})) is None
    assert _part(_evidence(gcond=0.1)) is None


def test_the_words_follow_the_numbers_and_turn_with_them():
    for up, word in ((0.05, "better"), (-0.05, "worse")):
        found = _part(_evidence(sum=0.0, gcond=up, gcond__raw=0.0)).found
        assert found.startswith(f"GCond against sum: {word}: l1 mean absolute error ({-up:+.4f} [")
        assert f"ssim SSIM ({up:+.4f} [" in found
        assert "GCond, raw against sum: practically equal in 2 of 2 comparisons (n = 3, paired by seed" in found
        assert "ema" not in found, "a line that was not run is not spoken of"


def test_the_table_holds_both_metrics_in_their_own_direction():
    made = _part(_evidence(sum=0.0, gcond=0.05), names={"sum": "weighted sum"})
    (sheet,) = made.sheets
    row = sheet.frame.iloc[0]
    assert (row["method"], row["minus"]) == ("GCond", "weighted sum")
    assert row["method"].target == f"history/{PROBLEM}-gcond.jsonl"
    assert row["l1 mean absolute error (lower is better)"].startswith("-0.0500 [")
    assert row["ssim SSIM"].startswith("+0.0500 [")
    assert list(row[["l1 mean absolute error, verdict", "on", "seeds", "n"]]) == ["better", "equal epochs", "paired", 3]
    assert "CIFAR-100, reconstruction: Scale laptop" in made.ran
    assert b"weighted sum" not in svg(made.drawings[0].figure), "all are held against one line, which is zero"


def test_the_declared_reading_is_that_of_the_line_it_names():
    without, level = _evidence(sum=0.0, gcond=0.05), _evidence(sum=0.0, gcond=0.05, sum__ema=0.05)
    assert "was not run, so that the cause cannot be told" in _part(without, reading="gcond").found
    assert "smoothing under an optimiser without momentum does as well" in _part(level, reading="gcond").found
    assert "told" not in _part(without).found
    with pytest.raises(ValueError, match="`section` of gcond must be given"):
        _part(dataclasses.replace(without, papers=[]), reading="gcond")
