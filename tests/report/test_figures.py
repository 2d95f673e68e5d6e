"""Figures of problems with data: what is drawn is what the histories hold, in the unit of its metric."""

import dataclasses

import numpy as np
import pytest

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.statistics import summarise
from gradsurgery.report import figures
from tests.histories import as_run, image_run

Lines = dict[str, list[Run]]


@pytest.fixture
def lines() -> Lines:
    methods = ("sum", "pcgrad", "single_task-left")
    return {m: [as_run(image_run("p", m, seed, 0.0)) for seed in range(2)] for m in methods}


def drawn(axes, label: str) -> np.ndarray:
    return next(line for line in axes.lines if line.get_label() == label).get_xydata()


def test_learning_curves_are_means_over_tasks_and_seeds_in_per_cent(lines: Lines) -> None:
    (axes,) = figures.learning_curves(lines).axes
    expected = [
        100 * np.mean([run.epochs[i][f"val.{task}.accuracy"] for run in lines["pcgrad"] for task in ("left", "right")])
        for i in range(4)
    ]
    assert drawn(axes, "PCGrad") == pytest.approx(np.array([[1, 2, 3, 4], expected]).T)
    assert [line.get_label() for line in axes.lines if line.get_label()[0] != "_"] == ["sum", "PCGrad"]
    assert axes.get_ylabel() == "validation accuracy, mean of tasks (%)"


def test_a_seed_that_stopped_early_ends_the_curve(lines: Lines) -> None:
    lines["sum"][1] = dataclasses.replace(lines["sum"][1], epochs=lines["sum"][1].epochs[:3])
    assert len(drawn(figures.learning_curves(lines).axes[0], "sum")) == 3


def test_differences_are_ordered_by_gain_and_say_which_side_is_better() -> None:
    def record(mean: float, higher: bool) -> dict:
        return {"minus_sum": {"all.mae": {**summarise([mean, mean + 0.02]).as_record(), "higher": higher}}}

    records = {"pcgrad": record(0.1, False), "sum": {}, "mgda": record(-0.1, False), "dwa": record(0.0, False)}
    (axes,) = figures.differences(records).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["PCGrad", "DWA", "MGDA"], "best on top"
    dots = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_marker() == "o"]
    assert dots == [pytest.approx([mean, height]) for height, mean in enumerate((0.11, 0.01, -0.09))]
    assert axes.get_xlabel().endswith("left is better")


def test_conflict_is_the_mean_of_neighbouring_steps() -> None:
    run = as_run(image_run("p", "sum", 0, 0.0))
    rows = [{"step": i, "mean_cosine": i / 24, "magnitude_similarity": 1.0, "deviation": None} for i in range(24)]
    cosine, similarity, deviation = figures.conflict_over_training(
        {"sum": [dataclasses.replace(run, diagnostics=rows)]}
    ).axes
    pairs = [(i + 0.5) / 24 for i in range(0, 24, 2)]  # twelve parts of two steps
    assert drawn(cosine, "sum")[:, 1] == pytest.approx(pairs)
    assert drawn(similarity, "sum")[:, 1] == pytest.approx([1.0] * 12)
    assert not deviation.lines, "what was not recorded is not drawn"


def test_a_run_without_cosines_measured_no_conflict() -> None:
    run = as_run(image_run("p", "sum", 0, 0.0))
    assert figures.measured(run)
    other = [{"step": 0, "router": 0.5}, {"step": 1, "mean_cosine": None}]
    assert not figures.measured(dataclasses.replace(run, diagnostics=other))


def test_a_trade_off_joins_static_weights_and_marks_a_single_task_by_its_line(lines: Lines) -> None:
    def record(left: float, right: float) -> dict:
        both = {"left.accuracy": left, "right.accuracy": right}
        means = {name: {"mean": value, "ci95": None} for name, value in both.items()}
        return {**means, "rules": {"last": both}}

    records = {"sum": record(0.8, 0.7), "static-30": record(0.7, 0.8), "static-70": record(0.9, 0.6)}
    records["single_task-left"] = {"left.accuracy": {"mean": 0.95, "ci95": None}, "rules": {"last": {"left": 0.95}}}
    whole, near = figures.trade_off(records, lines, ["static-70", "static-30"]).axes
    assert drawn(whole, "static weights") == pytest.approx(np.array([[70.0, 80.0], [90.0, 60.0]]))
    bound = next(line for line in whole.lines if line.get_linestyle() == ":")
    assert np.array(bound.get_xdata()) == pytest.approx([95.0, 95.0])
    assert near.get_xlim() == pytest.approx((79.0, 81.0)), "one per cent around the only method"
