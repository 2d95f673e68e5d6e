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
