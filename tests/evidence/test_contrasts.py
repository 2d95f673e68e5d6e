"""A contrast is of two lines on one budget, with the interval that its seeds allow."""

import dataclasses
import json
from collections.abc import Callable

import pytest

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Role, parse
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.pairs import Planned, contrasts
from gradsurgery.evidence.statistics import summarise, welch

Make = Callable[..., Line]
METRIC = "left.accuracy"


@pytest.fixture
def line(made_up: Callable[..., dict]) -> Make:
    def build(method: str, shift: float = 0.0, epochs: int = 4, role: Role | None = None, **transform: object) -> Line:
        records = [made_up("p", method, seed, shift, epochs) for seed in range(4)]
        for record in records:
            record["declaration"]["transform"] = {"name": "identity"} | transform
        runs = parse([json.dumps(record) for record in records], method)
        return Line([dataclasses.replace(run, role=role or run.role) for run in runs], "last")

    return build


def test_seeds_pair_unless_a_network_is_drawn_anew(line: Make) -> None:
    base, plain = line("sum"), line("pcgrad", 0.01)
    drawn, kept = (line("pcgrad", 0.01, name="recon", branch_init=how) for how in ("independent", "copy"))
    default = line("pcgrad", 0.01, name="recon")
    sides = list(plain.values(METRIC).values()), list(base.values(METRIC).values())
    for mine, paired in ((plain, True), (kept, True), (drawn, False), (default, False)):
        found = Contrast.of("f", mine, base, METRIC)
        assert found is not None
        assert found.paired == paired
        differences = [a - b for a, b in zip(*sides, strict=True)]
        assert found.difference == (summarise(differences) if paired else welch(*sides))


def test_budgets_are_named_and_never_crossed(line: Make) -> None:
    short, long = line("pcgrad"), line("sum", epochs=8, role=Role("equal_compute", "pcgrad", "sum"))
    assert short.budget(line("sum")) == "equal epochs"
    assert short.budget(long) == long.budget(short) == "equal passes"
    other = line("cagrad")
    with pytest.raises(ValueError, match="must be a line on its own budget of 4 epochs, found p-sum with 8"):
        Contrast.of("f", other, long, METRIC)
    control = line("pcgrad-x", role=Role("control", "pcgrad"))
    assert control.budget(long) == "equal passes", "a control of the line has its compute"
    assert line("floor-x", epochs=1, role=Role("floor", "sum")).budget(short).startswith("none")


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


def test_what_is_written_is_read_again(line: Make) -> None:
    found = Contrast.of("f", line("pcgrad", 0.01), line("sum"), METRIC)
    assert found is not None
    record = json.loads(json.dumps(dataclasses.replace(found, margin=0.5).as_record()))
    assert record["verdict"] == "practically equal"
    assert record["detectable"] > 0
    again = Contrast.of_record(record)
    assert {**again.as_record(), "detectable": record["detectable"]} == record
