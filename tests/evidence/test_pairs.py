"""What a paper plans to compare: named lines, `each`, and pairs that have no budget in common."""

from collections.abc import Callable

import pytest

from gradsurgery.evidence.history import Role
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.pairs import Planned, contrasts

Make = Callable[..., Line]
METRIC = "left.accuracy"


def test_a_plan_that_names_two_budgets_is_refused_and_each_leaves_them_out(line: Make) -> None:
    lines = {"cagrad": line("cagrad"), "sum": line("sum"), "long": line("sum-long", epochs=8)}
    every = Planned("f", ["p"], [["cagrad", "each"]], [METRIC])
    assert [c.minus for c in contrasts([every], "p", lines)] == ["sum"]
    with pytest.raises(ValueError, match="must be a line on its own budget"):
        contrasts([Planned("f", ["p"], [["cagrad", "long"]], [METRIC])], "p", lines)


def test_each_leaves_copies_of_a_line_out(line: Make) -> None:
    lines = {"cagrad": line("cagrad"), "sum": line("sum"), "again": line("sum-repeat", role=Role("repeat", "sum"))}
    assert [c.minus for c in contrasts([Planned("f", ["p"], [["cagrad", "each"]], [METRIC])], "p", lines)] == ["sum"]
    named = Planned("f", ["p"], [["cagrad", "again"]], [METRIC])
    assert [c.minus for c in contrasts([named], "p", lines)] == ["sum-repeat"], "who names a copy gets it"


def test_a_plan_holds_where_it_says_and_for_lines_that_were_run(line: Make) -> None:
    lines = {"cagrad": line("cagrad", 0.1), "sum": line("sum")}
    plan = Planned("f", ["p"], [["cagrad", "sum"], ["cagrad", "mgda"], ["sum", "sum"]], [METRIC])
    (found,) = contrasts([plan], "p", lines)
    assert (found.family, found.method, found.minus, found.metric) == ("f", "cagrad", "sum", METRIC)
    assert found.difference.mean == pytest.approx(0.1, abs=0.01)
    assert contrasts([plan], "q", lines) == []


def test_metrics_are_named_each_or_the_mean_over_tasks(line: Make) -> None:
    lines = {"cagrad": line("cagrad"), "sum": line("sum"), "single_task-left": line("single_task-left")}
    each, mean = (Planned("f", ["p"], [["cagrad", "sum"]], [name]) for name in ("each", "all"))
    assert [c.metric for c in contrasts([each], "p", lines)] == ["left.accuracy", "right.accuracy"]
    assert [c.metric for c in contrasts([mean], "p", lines)] == ["all.accuracy"]
    alone = Planned("f", ["p"], [["single_task-left", "sum"]], ["each"])
    assert [c.metric for c in contrasts([alone], "p", lines)] == [METRIC], "what the line answers for"


def test_a_line_without_a_partner_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`lines` of f must be pairs, found \[\['sum'\]\]"):
        Planned("f", ["p"], [["sum"]], [METRIC])
