"""What the runs took: totals that agree with their parts."""

import json
from pathlib import Path

import pytest

from gradsurgery.report.costing import costs, step_time, totals
from gradsurgery.report.output import Output
from gradsurgery.report.sources import Sources
from pipelines._evidence import read_costs
from pipelines.evaluate import read_histories


@pytest.fixture
def sources(checkout: Path) -> Sources:
    groups = read_histories(checkout / "reports/history")
    return Sources(groups, {}, read_costs(checkout / "reports/costs", groups), [], {}, {})


def test_totals_are_sums_over_seeds(sources: Sources, checkout: Path) -> None:
    found = totals(sources)
    seeds = [seed for p in (checkout / "reports/costs").rglob("*.json") for seed in json.loads(p.read_text())["seeds"]]
    assert (found["experiments"], found["data"], found["landscapes"]) == (11, 1, 1)
    assert found["runs"] == len(seeds)
    assert found["minutes"] == pytest.approx(12.5 * len(seeds) / 60)


def test_the_page_shows_every_problem_every_experiment_and_the_machines(sources: Sources) -> None:
    page = costs(sources, Output())
    assert list(page["problems"]["experiments"]) == [2, 9]
    assert len(page["table"]) == 11
    assert list(page["environment"]["experiments"]) == [11]


def test_a_problem_without_costs_has_no_figure_of_its_time(sources: Sources) -> None:
    assert step_time(sources.groups, {}, "multi_fashion_mnist", Output()) is None
    out = Output()
    drawn = step_time(sources.groups, sources.costs, "multi_fashion_mnist", out)
    assert drawn is not None
    assert set(out.files) == {"figures/multi_fashion_mnist-step-time.svg", "plots/multi_fashion_mnist-step-time.csv"}
