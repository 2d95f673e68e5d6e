"""The page of `gradsurgery compare`: levels and differences as rows, and one file that needs no other."""

import re

import pytest

from gradsurgery.evidence.compared import Compared, compare
from gradsurgery.evidence.statistics import Summary
from gradsurgery.report.compared import differences, levels, page
from tests.histories import as_run, difference, image_run

NAMES = {"pcgrad": "PCGrad", "sum": "sum", "mgda": "MGDA"}
METRICS = {"all.accuracy": True, "left.accuracy": True, "left.mae": False}
HALF = Summary(3, 0.5, 0.01, 0.4, 0.6)


@pytest.fixture
def found() -> Compared:
    """PCGrad beside the sum and a line that diverged."""
    own = {"pcgrad": {"all.accuracy": HALF, "left.mae": HALF}, "sum": {"all.accuracy": HALF}}
    contrasts = [difference("pcgrad", 0.01, 0.03), difference("pcgrad", -0.2, 0.4, metric="left.mae", higher=False)]
    gone = {"mgda": "diverged (seed 1, epoch 2)"}
    return Compared("p", "pcgrad", ["sum", "mgda"], METRICS, own, contrasts, gone)


def test_levels_begin_with_the_line_that_was_asked_for(found: Compared) -> None:
    beside = {"pcgrad": {"n": "3"}, "sum": {"n": "5"}, "mgda": {"n": "-"}}
    rows = levels(found, NAMES, ["all.accuracy", "left.mae"], beside)
    assert rows[0] == {
        "method": "PCGrad", "accuracy, mean of tasks (%)": "50.00 [40.00, 60.00]",
        "left mean absolute error": "0.5000 [0.4000, 0.6000]", "n": "3",
    }  # fmt: skip
    assert (rows[1]["method"], rows[1]["left mean absolute error"], rows[1]["n"]) == ("sum", "-", "5")


def test_a_line_that_diverged_says_so_in_the_place_of_its_number(found: Compared) -> None:
    row = levels(found, NAMES, ["all.accuracy", "left.mae"], {m: {} for m in NAMES})[2]
    assert list(row.values()) == ["MGDA", "diverged (seed 1, epoch 2)", "-"]


def test_a_difference_has_its_unit_its_word_and_what_could_have_been_seen(found: Compared) -> None:
    first, second = differences(found, NAMES, [*METRICS])
    least = first.pop("least effect found 4 times of 5")
    assert first == {
        "minus": "sum", "metric": "accuracy, mean of tasks (points)", "difference": "+2.00 [+1.00, +3.00]",
        "verdict": "better",
    }  # fmt: skip
    assert float(least) > 1.0, "more than half of the interval, in points"
    assert (second["difference"], second["verdict"]) == ("+0.1000 [-0.2000, +0.4000]", "inconclusive")


def test_the_page_needs_no_other_file_and_says_what_was_typed() -> None:
    groups = {f"p-{m}": [as_run(image_run("p", m, seed, 0.0, 1)) for seed in range(2)] for m in ("pcgrad", "sum")}
    found = compare(groups, "pcgrad", ["sum"], "last", lambda metric: None)
    text = page(found, groups, NAMES, {m: {} for m in NAMES}, "last", "gradsurgery compare <x>").decode()
    assert "gradsurgery compare &lt;x&gt;" in text
    assert not re.search(r'(src|href)="(?!#)[^"]', text)
    assert "Scale smoke, track controlled, 1 epochs, 2 seeds" in text
