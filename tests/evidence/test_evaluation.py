"""Everything that the report prints of a few made-up runs: what is there, under which margin, and who is left out."""

import dataclasses

import pytest

from gradsurgery.evidence.evaluation import Evaluation, evaluate
from gradsurgery.evidence.groups import Groups
from gradsurgery.evidence.pairs import Planned
from gradsurgery.evidence.roles import Role
from tests.histories import as_run, image_run, landscape_run

METRIC = "left.accuracy"


@pytest.fixture
def groups() -> Groups:
    """Four lines of one problem on two seeds, one of them a repeat, and a landscape."""
    shifts = {"sum": 0.0, "pcgrad": 0.1, "cagrad-c0_5": -0.1}
    made = {f"p-{m}": [as_run(image_run("p", m, seed, shift)) for seed in range(2)] for m, shift in shifts.items()}
    again = [dataclasses.replace(run, experiment="p-sum-repeat", role=Role("repeat", "sum")) for run in made["p-sum"]]
    return made | {
        "p-sum-repeat": again,
        "cagrad_toy-mean": [as_run(landscape_run("cagrad_toy", "mean", [True, False]))],
    }


def of(groups: Groups, rule: str = "last", margin: float | None = None) -> Evaluation:
    plans = [Planned("own", ["p"], [["pcgrad", "cagrad-c0_5"]], [METRIC])]
    return evaluate(groups, {"p": rule}, {}, {}, plans, lambda metric: margin if metric == METRIC else None)


def test_numbers_by_seed_are_those_of_the_epoch_that_the_problems_rule_picks(groups: Groups) -> None:
    found = of(groups).measured.by_seed
    assert set(found) == {"p-sum", "p-pcgrad", "p-cagrad-c0_5", "p-sum-repeat"}, "a landscape has no test set"
    last = [run.epochs[-1] for run in groups["p-pcgrad"]]
    assert found["p-pcgrad"][METRIC] == [row[f"test.{METRIC}"] for row in last]
    both = [(row["test.left.accuracy"] + row["test.right.accuracy"]) / 2 for row in last]
    assert found["p-pcgrad"]["all.accuracy"] == pytest.approx(both)


def test_a_papers_plan_is_compared_under_its_own_name_and_its_metrics_margin(groups: Groups) -> None:
    found = [c for c in of(groups, margin=0.5).contrasts if c.family == "own"]
    assert [(c.method, c.minus, c.metric, c.margin) for c in found] == [("pcgrad", "cagrad-c0_5", METRIC, 0.5)]
    assert {c.margin for c in of(groups, margin=0.5).contrasts if c.metric != METRIC} == {None}


def test_what_is_no_contrast_is_found_by_problem(groups: Groups) -> None:
    found = of(groups).measured
    assert [(r.method, r.again, r.largest) for r in found.repeats["p"]] == [("sum", "sum-repeat", 0.0)]
    assert (found.ranking, dict(found.fronts), dict(found.doses)) == (None, {}, {}), "too little was run"


def test_a_line_that_diverged_has_an_entry_and_no_number(groups: Groups) -> None:
    gone = [dataclasses.replace(run, diverged=1) for run in groups["p-pcgrad"]]
    found = of({**groups, "p-pcgrad": gone})
    assert found.scores["p-pcgrad"]["diverged"] == {"0": 1, "1": 1}
    assert "p-pcgrad" not in found.measured.by_seed
    assert not [c for c in found.contrasts if "pcgrad" in (c.method, c.minus)]
