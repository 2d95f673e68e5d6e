"""What a page shows of one problem: its own figures, the other scales beside it, and the claims that rest on it."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from gradsurgery.report.output import Output
from gradsurgery.report.problem_page import entries
from gradsurgery.report.sources import Sources
from tests.histories import as_run, image_run, landscape_run, sources_of

CLAIMS = [SimpleNamespace(source=f"history/{name}.jsonl") for name in ("p-pcgrad", "cagrad_toy-mean", "q-sum")]
FIGURES = [{"name": name} for name in ("cagrad_toy-parameters", "cagrad_toy-losses", "cagrad_toy2-losses", "p-x")]
PAPERS = {"cagrad": {"name": "CAGrad", "claims": CLAIMS, "figures": FIGURES}}


@pytest.fixture
def sources() -> Sources:
    groups = {f"p-{m}": [as_run(image_run("p", m, seed, 0.0)) for seed in range(2)] for m in ("sum", "pcgrad")}
    return sources_of(groups | {"cagrad_toy-mean": [as_run(landscape_run("cagrad_toy", "mean", [True, False]))]})


def made(sources: Sources, out: Output) -> dict[str, dict[str, Any]]:
    return {entry["key"]: entry for entry in entries(sources, {}, {"cagrad": ()}, PAPERS, out)}


def test_problems_come_in_order_and_conflict_stands_where_it_was_measured(sources: Sources, out: Output) -> None:
    found = made(sources, out)
    assert list(found) == ["cagrad_toy", "p"]
    assert found["cagrad_toy"]["conflict"] is None
    assert found["p"]["conflict"]["first"]["name"] == "p-conflict"


def test_a_landscape_takes_its_own_figures_from_its_paper(sources: Sources, out: Output) -> None:
    entry = made(sources, out)["cagrad_toy"]
    assert (entry["first"], entry["more"]) == (FIGURES[:1], FIGURES[1:2]), "not those of a longer name"
    assert entry["table"]["solved"].tolist() == [1]


def test_a_claim_rests_on_the_problem_whose_runs_answer_it(sources: Sources, out: Output) -> None:
    found = made(sources, out)
    assert found["p"]["claims"] == [("cagrad", "CAGrad", CLAIMS[0])]
    assert found["cagrad_toy"]["claims"] == [("cagrad", "CAGrad", CLAIMS[1])]
    longer = {"cagrad": {**PAPERS["cagrad"], "claims": [SimpleNamespace(source="history/overnight/p-pcgrad.jsonl")]}}
    assert len(entries(sources, {}, {"cagrad": ()}, longer, Output())[1]["claims"]) == 1, "at whatever scale"


def test_another_scale_has_a_table_that_leads_to_its_own_histories(sources: Sources, out: Output) -> None:
    groups = {"p-sum": sources.groups["p-sum"]}
    others = {"overnight": sources_of(groups), "paper": sources_of({})}
    found = made(dataclasses.replace(sources, others=others), out)
    ((scale, told, table),) = found["p"]["scales"]
    assert told.startswith("Scale smoke, track controlled, "), "as these runs say, wherever they stand"
    assert scale == "overnight"
    assert [cell.target for cell in table["method"]] == ["history/overnight/p-sum.jsonl"]
    assert found["cagrad_toy"]["scales"] == []


def test_a_problem_that_only_another_scale_has_gets_a_page_too(sources: Sources, out: Output) -> None:
    groups = {f"r-{m}": [as_run(image_run("r", m, seed, 0.0)) for seed in range(2)] for m in ("sum", "pcgrad")}
    others = {"overnight": sources_of(groups | {"p-sum": sources.groups["p-sum"]})}
    found = made(dataclasses.replace(sources, others=others), out)
    assert list(found) == ["cagrad_toy", "p", "r"]
    entry = found["r"]
    assert [str(cell) for cell in entry["table"]["method"]] == ["PCGrad", "sum"]
    assert (entry["scales"], entry["conflict"], entry["claims"]) == ([], None, [])
