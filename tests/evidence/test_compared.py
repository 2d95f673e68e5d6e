"""A comparison says what the report says of the same runs, from the same histories."""

import dataclasses
import json
from pathlib import Path

import pytest

from gradsurgery.evidence.compared import compare
from gradsurgery.evidence.contrasts import parse
from gradsurgery.evidence.history import parse as parse_history
from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.statistics import significant
from pipelines._protocol import registered

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "reports"


def _committed(*names):
    paths = {path.stem: path for path in (REPORTS / "history/laptop").rglob("*.jsonl")}
    return {name: parse_history(paths[name].read_text(encoding="utf-8").splitlines(), name) for name in names}


@pytest.mark.parametrize("problem", ["multi_mnist", "multi_fashion_mnist", "census"])
def test_levels_differences_and_words_are_those_of_the_report(problem):
    other = "mgda" if problem == "multi_mnist" else "cagrad-c0_5"
    names = [f"{problem}-{method}" for method in ("pcgrad", other, "sum")]
    found = compare(_committed(*names), "pcgrad", [other, "sum"], "best-val", registered(ROOT).margin)
    metrics = json.loads((REPORTS / "metrics.json").read_text(encoding="utf-8"))
    for method, own in found.levels.items():
        for metric, summary in own.items():
            assert summary.as_record() == metrics[f"{problem}-{method}"][metric], metric
    records = json.loads((REPORTS / "contrasts.json").read_text(encoding="utf-8"))
    for metric in found.main:
        theirs, mine = parse(records).get("sum", problem, "pcgrad", "sum", metric), found.against("sum", metric)
        assert mine.verdict == theirs.verdict
        for part in ("mean", "low", "high"):
            assert significant(getattr(mine.difference, part)) == significant(getattr(theirs.difference, part))
        assert measure(metric).say(mine.difference) == measure(metric).say(theirs.difference)


def test_a_line_that_diverged_has_no_number():
    groups = _committed("multi_mnist-pcgrad", "multi_mnist-sum")
    gone = [dataclasses.replace(run, diverged=4) for run in groups["multi_mnist-pcgrad"]]
    found = compare({**groups, "multi_mnist-pcgrad": gone}, "pcgrad", ["sum"], "best-val", lambda metric: None)
    assert found.gone == {"pcgrad": "diverged (seed 0, epoch 4; seed 1, epoch 4; seed 2, epoch 4)"}
    assert set(found.levels) == {"sum"}
    assert found.against("sum", "all.accuracy") is None


def test_lines_of_another_budget_are_no_comparison():
    groups = _committed("multi_fashion_mnist-sum-long", "multi_fashion_mnist-pcgrad", "multi_fashion_mnist-mgda")
    assert compare(groups, "pcgrad", ["sum-long"], "best-val", lambda metric: None).contrasts
    with pytest.raises(ValueError, match=r"must be a line on its own budget of 4 epochs, found .*sum-long with 8"):
        compare(groups, "mgda", ["sum-long"], "best-val", lambda metric: None)
