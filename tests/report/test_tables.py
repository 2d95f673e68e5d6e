"""metrics.json as tables: columns, digits, signs, and links that read as their text."""

from typing import Any

import pandas as pd
import pytest

from gradsurgery.report.tables import landscape_table, markdown, problem_table, rules_table, source, trials_of
from tests.histories import as_run, image_run, scores_of

SHIFTS = {"sum": 0.0, "pcgrad": 0.1, "single_task-left": 0.0}
DIRECTIONS = {"left.accuracy": True, "right.accuracy": True}


def test_a_linked_cell_reads_as_its_text() -> None:
    cell = source("p-sum", "sum")
    assert cell == "sum"
    assert cell != source("p-sum", "PCGrad")
    assert cell != 3
    frame = pd.DataFrame([{"method": cell, "n": 3}, {"method": source("p-pcgrad", "PCGrad"), "n": 2}])
    assert frame["method"][0].target == "history/p-sum.jsonl", "pandas keeps the link"
    assert frame.set_index("method").loc["PCGrad", "n"] == 2
    assert frame.to_csv(index=False) == "method,n\nsum,3\nPCGrad,2\n"


@pytest.fixture
def metrics() -> dict[str, dict[str, Any]]:
    groups = {f"p-{m}": [as_run(image_run("p", m, seed, shift)) for seed in range(2)] for m, shift in SHIFTS.items()}
    return scores_of(groups)


def test_a_row_has_the_mean_over_tasks_each_task_and_the_difference(metrics: dict[str, dict[str, Any]]) -> None:
    frame = problem_table(metrics, "p", DIRECTIONS)
    assert list(frame.columns)[:4] == [
        "method", "accuracy, mean of tasks (%)", "left accuracy (%)", "right accuracy (%)"
    ]  # fmt: skip
    row = frame.set_index("method").loc["PCGrad"]
    assert row["left accuracy (%)"].startswith(f"{100 * metrics['p-pcgrad']['left.accuracy']['mean']:.2f} [")
    assert row["accuracy minus sum, mean of tasks (points)"].startswith("+")
    assert frame.set_index("method").loc["single task, left", "right accuracy (%)"] == "-"
    assert "in the controlled table" not in frame, "all are in it"


def test_a_line_of_another_track_stands_last_and_says_so(metrics: dict[str, dict[str, Any]]) -> None:
    metrics["p-pcgrad"]["track"] = "reference"
    metrics["p-sum"]["excluded"] = ["a seed is missing"]
    frame = problem_table(metrics, "p", DIRECTIONS)
    assert list(map(str, frame["method"])) == ["single task, left", "sum", "PCGrad"]
    assert list(frame["in the controlled table"]) == ["yes", "no: a seed is missing", "no: track reference"]


def test_optimism_is_what_looking_at_the_test_set_adds_whichever_way_is_better() -> None:
    rules = {"best-val": {"a.mae": 0.5}, "last": {"a.mae": 0.6}, "best-test": {"a.mae": 0.4}}
    record = {"problem": "p", "method": "sum", "track": "controlled", "rules": rules, "n": 3}
    row = rules_table({"p-sum": record}, "p", {"a.mae": False}).iloc[0]
    assert (row["best-val"], row["last"], row["best-test"]) == ("0.5000", "0.6000", "0.4000")
    assert row["optimism of best-test"] == "+0.1000", "less error is more"
    assert "optimism of last" not in row, "which looks at nothing"


def test_the_slowest_start_counts_only_where_all_arrived() -> None:
    end = {"starts": 2, "solved": 2, "stuck": 0, "first_solved": [90, 20], "end_loss": [-1.0, 2.5]}
    names = {"a": end, "b": {**end, "solved": 1, "stuck": 1, "first_solved": [None, 20]}}
    metrics = {
        f"p-{m}": {"problem": "p", "method": m, "track": "as-published", "landscape": e} for m, e in names.items()
    }
    frame = landscape_table(metrics, "p")
    assert frame["first solved, slowest start (step)"].tolist() == [90, "-"]
    assert frame["mean task loss at the end (min to max)"].tolist() == ["-1.00 to 2.50"] * 2


def test_a_pipe_within_a_cell_does_not_end_it() -> None:
    assert markdown(pd.DataFrame([{"a": "|d|", "b": None}])) == "| a | b |\n| --- | --- |\n| \\|d\\| | - |\n"


def test_a_link_leads_to_the_same_of_another_scale() -> None:
    assert source("p-sum").at("overnight").target == "history/overnight/p-sum.jsonl"
    assert trials_of("p", "sum").target == "study/p.jsonl"
