"""The controlled comparison of one problem: which lines stand in it, which figures are drawn, and who is left out."""

import dataclasses
from typing import Any

import pytest

from gradsurgery.evidence.history import Run
from gradsurgery.report.controlled import comparison
from gradsurgery.report.output import Output
from gradsurgery.report.style import label
from tests.histories import as_run, data_run, image_run, sources_of

Groups = dict[str, list[Run]]


@pytest.fixture
def groups() -> Groups:
    methods = {"sum": 0.0, "pcgrad": 0.1, "single_task-left": 0.0}
    return {f"p-{m}": [as_run(image_run("p", m, seed, shift)) for seed in range(2)] for m, shift in methods.items()}


def shown(groups: Groups, out: Output, gone: Groups | None = None) -> dict[str, Any]:
    sources = sources_of(groups)
    return comparison(sources.groups, sources.metrics, sources.contrasts, "p", out, gone)


def names(entry: dict[str, Any]) -> list[str]:
    return [figure["name"] for figure in (*entry["first"], *entry["more"])]


def test_two_tasks_have_differences_a_trade_off_and_curves(groups: Groups, out: Output) -> None:
    entry = shown(groups, out)
    assert names(entry) == ["p-differences", "p-trade-off", "p-learning"]
    assert entry["sentence"].startswith("Better: PCGrad (+")
    assert sorted(map(str, entry["table"]["method"])) == sorted(map(label, ("sum", "pcgrad", "single_task-left")))
    assert entry["tasks"] is None


def test_the_points_of_the_curves_are_kept_by_epoch_and_without_single_tasks(groups: Groups, out: Output) -> None:
    shown(groups, out)
    head, *rows = out.files["plots/p-learning.csv"].decode().splitlines()
    assert head == "epoch,method,validation"
    assert [row.rsplit(",", 1)[0] for row in rows] == [f"{i},{m}" for m in ("PCGrad", "sum") for i in (1, 2, 3, 4)]


def test_many_tasks_have_a_table_of_their_own_and_no_trade_off(out: Output) -> None:
    metrics = {f"t{k}.accuracy": (0.5, True) for k in range(5)}
    made = {f"p-{m}": [as_run(data_run("p", m, seed, 0.0, metrics)) for seed in range(2)] for m in ("sum", "pcgrad")}
    entry = shown(made, out)
    assert len(entry["tasks"]) == 5
    assert names(entry) == ["p-differences", "p-learning"]


def test_without_the_sum_nothing_is_compared(groups: Groups, out: Output) -> None:
    entry = shown({"p-pcgrad": groups["p-pcgrad"]}, out)
    assert entry["sentence"] == "The sum was not run to its end, so that nothing can be compared with it."
    assert names(entry) == ["p-trade-off", "p-learning"]


def test_a_line_that_diverged_is_a_row_and_a_line_of_another_budget_the_last(groups: Groups, out: Output) -> None:
    gone = {"p-mgda": [dataclasses.replace(as_run(image_run("p", "mgda", 0, 0.0)), diverged=2)]}
    groups["p-long"] = [dataclasses.replace(as_run(image_run("p", "long", 0, 0.0)), track="reference")]
    entry = shown(groups, out, gone)
    assert list(map(str, entry["table"]["method"])) == ["MGDA", "PCGrad", label("single_task-left"), "sum", "long"]
    assert entry["sentence"].endswith("Left out of every comparison: MGDA diverged (seed 0, epoch 2).")
    assert "long" not in out.files["plots/p-learning.csv"].decode(), "the points are those of the figure"
    learning = out.pool.figures[-1].axes[0]
    assert {line.get_label() for line in learning.lines if line.get_label()[0] != "_"} == {"PCGrad", "sum"}
