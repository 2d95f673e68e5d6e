"""What the runs took: totals that agree with their parts."""

import dataclasses
import json
from pathlib import Path

import pytest

from gradsurgery.report.costing import costs, totals
from gradsurgery.report.output import Output
from gradsurgery.report.sources import Sources
from pipelines._evidence import read_runs


@pytest.fixture
def sources(checkout: Path) -> Sources:
    groups, costs = read_runs(checkout, "smoke")
    return Sources(groups, {}, costs, [], {}, {})


def test_totals_are_sums_over_seeds(sources: Sources, checkout: Path) -> None:
    found = totals(sources)
    seeds = [seed for p in (checkout / "reports/costs").rglob("*.json") for seed in json.loads(p.read_text())["seeds"]]
    assert (found["experiments"], found["data"], found["landscapes"]) == (11, 1, 1)
    assert found["runs"] == len(seeds)
    assert found["minutes"] == pytest.approx(12.5 * len(seeds) / 60)
    assert found["beside"] == []
    beside = dataclasses.replace(sources, others={"overnight": sources})
    assert totals(beside)["beside"] == [("overnight", len(seeds), found["minutes"])]


def test_the_page_shows_every_problem_every_experiment_and_the_machines(sources: Sources) -> None:
    page = costs(sources, Output())
    assert list(page["problems"]["experiments"]) == [2, 9]
    assert len(page["table"]) == 11
    assert list(page["environment"]["experiments"]) == [11]
