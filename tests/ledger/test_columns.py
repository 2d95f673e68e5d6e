"""Columns of published tables that are no metric of a problem, on numbers made by hand."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gradsurgery.evidence.history import Run, parse
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.scores import evaluate
from gradsurgery.ledger.columns import COLUMNS, column_of
from gradsurgery.ledger.judging import Ours, judge
from gradsurgery.ledger.measured import level_of
from gradsurgery.ledger.reading import read
from tests.histories import image_run

LAYERS = {
    "names": ["a", "b", "c"], "sizes": [1, 1, 1], "steps": 20, "thresholds": [0.0, -0.01, -0.1],
    "scores": [[[9, 6, 5], [5, 3, 1], [1, 0, 0]], [[9, 6, 0], [5, 5, 5], [2, 1, 1]]],
    "whole": [[5, 3, 1], [3, 1, 0]],
}  # fmt: skip  # 2 epochs of 10 steps of one pair of tasks


def line(
    method: str, layers: dict[str, Any] | None = None, left: float = 0.9, right: float = 0.9, trunk: str = "shared"
) -> Line:
    runs: list[Run] = []
    for seed in (0, 1):
        record = image_run("p", method, seed, 0.0, 2)
        record["declaration"]["settings"]["network"]["trunk"] = trunk
        for row in record["epochs"]:
            row |= {"test.left.accuracy": left, "test.right.accuracy": right, "train.left.loss": 0.5}
            row["train.right.loss"] = 1.0
        runs += parse([json.dumps(record | {"layers": layers})], method)
    return Line(runs, "last")


def value(metric: str, own: Line, minus: Line | None = None, among: list[Line] | None = None) -> float | None:
    found = column_of(metric, own, {}, minus, among or [])
    return None if found is None else found.mean


def test_cosines_are_counted_in_bins_over_all_steps() -> None:
    """8 of 20 pairs lie below 0, 4 of them below -0.01, 1 of those below -0.1."""
    own = line("sum", LAYERS)
    assert value("bins.above_0", own) == pytest.approx(12 / 20)
    assert value("bins.to_minus_01", own) == pytest.approx(4 / 20)
    assert value("bins.below_minus_03", own) is None, "a threshold that was not counted"
    assert value("bins.above_0", line("sum")) is None, "runs that counted nothing"


def test_fewer_conflicts_are_a_share_of_the_other_lines() -> None:
    half = LAYERS | {"whole": [[5, 2, 1], [3, 0, 0]]}
    assert value("fewer.below_minus_01", line("pcgrad", half), line("sum", LAYERS)) == pytest.approx(0.5)
    assert value("fewer.below_minus_01", line("sum", LAYERS), line("pcgrad", half)) == pytest.approx(-1.0)


def test_rankings_lie_apart_by_the_mean_difference_of_ranks() -> None:
    """Below -0.1: a 5, b 6, c 1 in all and a 5, b 1, c 0 in the first quarter, which is the first epoch of two."""
    own, turned = line("sum", LAYERS), LAYERS | {"scores": [LAYERS["scores"][0]] * 2}  # type: ignore[index]
    assert value("ranking.of_first_quarter", own) == pytest.approx(2 / 3)
    assert value("ranking.distance", line("pcgrad", turned), own) == pytest.approx(2 / 3)
    assert value("ranking.distance", own, own) == 0.0


def test_a_rank_is_that_among_the_rows_of_the_table() -> None:
    lines = [line("sum", left=0.9, right=0.7), line("pcgrad", left=0.8, right=0.8), line("mgda", left=0.1, right=0.1)]
    assert [value("mean_rank", own, among=lines) for own in lines] == [1.5, 1.5, 3.0]
    assert [value("mean_rank", own, among=lines[1:]) for own in lines[1:]] == [1.0, 2.0]
    assert value("mean_rank", lines[0], among=lines[:1]) is None


def test_delta_m_is_that_of_the_scores_and_recon_turns_it() -> None:
    names = ("sum", "single_task-left", "single_task-right")
    lines = {
        name: line(name, left=0.9 if name == "sum" else 1.0, right=0.8 if name == "sum" else 1.0) for name in names
    }
    found, _ = evaluate({f"p-{name}": own.runs for name, own in lines.items()}, {"p": "last"})
    own = lines["sum"]
    assert column_of("delta_m_metric", own, found["p-sum"], None, []).mean == pytest.approx(15.0)  # type: ignore[union-attr]
    assert column_of("gain_task", own, found["p-sum"], None, []).mean == pytest.approx(-15.0)  # type: ignore[union-attr]
    assert column_of("gain_task", own, {}, None, []) is None


def test_networks_of_their_own_in_one_run_stand_for_single_tasks_where_there_are_none() -> None:
    lines = {"sum": line("sum", left=0.9, right=0.8), "mine": line("mine", left=1.0, right=1.0, trunk="separate")}
    found, _ = evaluate({f"p-{name}": own.runs for name, own in lines.items()}, {"p": "last"})
    assert found["p-sum"]["delta_m_task"]["mean"] == pytest.approx(15.0)
    shared = {**lines, "mine": line("mine", left=1.0, right=1.0)}
    found, _ = evaluate({f"p-{name}": own.runs for name, own in shared.items()}, {"p": "last"})
    assert "delta_m_task" not in found["p-sum"]


def test_training_losses_are_those_of_the_last_epoch_by_task() -> None:
    own = line("sum")
    assert [level_of(own, f"{task}.train_loss").mean for task in ("left", "right", "all")] == [0.5, 1.0, 0.75]


def document() -> dict[str, Any]:
    path = Path(__file__).parents[2] / "data/published/recon.yaml"
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    found["tables"] = [each for each in found["tables"] if each["id"] == "table-6"]
    return dict(found)


def test_a_cell_names_its_measure_and_is_judged_by_it() -> None:
    found = {record.id: record for record in read(document()).records}
    cell = found["recon/table-6/PCGrad/severe.reduction"]
    names = [f"multi_fashion_mnist_resnet-{name}" for name in ("pcgrad", "sum")]
    lines = [line("pcgrad", LAYERS), line("sum", LAYERS)]
    assert cell.answered_by
    assert cell.answered_by.metric in COLUMNS
    assert [cell.answered_by.experiment, cell.answered_by.minus] == names
    groups = {name: own.runs for name, own in zip(names, lines, strict=True)}
    finding = judge(cell, Ours(groups, {name: {"selection": "last"} for name in names}))
    assert (finding.ours, finding.verdict[:7]) == ("0.00 [0.00, 0.00] (n = 2)", "not run")
    blind = judge(
        cell, Ours({name: line("sum").runs for name in names}, {name: {"selection": "last"} for name in names})
    )
    assert blind.verdict == "not run (the runs do not hold what this column asks for)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measures": {"severe.drop": "mean_rank"}}, "`measures` of recon/table-6 must name columns of the table"),
        ({"against": ...}, "`against` of recon/table-6 must name the line that fewer.below_minus_01 is held against"),
    ],
)
def test_a_measure_without_a_column_or_a_second_line_is_refused(change: dict[str, Any], message: str) -> None:
    broken = copy.deepcopy(document())
    for name, entry in change.items():
        if entry is ...:
            del broken["tables"][0][name]
        else:
            broken["tables"][0][name] = entry
    with pytest.raises(ValueError, match=message):
        read(broken)
