"""A contrast is of two lines on one budget, with the interval that its seeds allow."""

import dataclasses
import json
from collections.abc import Callable

import pytest

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Role
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.statistics import summarise, welch

Make = Callable[..., Line]
METRIC = "left.accuracy"


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


def test_what_is_written_is_read_again(line: Make) -> None:
    found = Contrast.of("f", line("pcgrad", 0.01), line("sum"), METRIC)
    assert found is not None
    record = json.loads(json.dumps(dataclasses.replace(found, margin=0.5).as_record()))
    assert record["verdict"] == "practically equal"
    assert record["detectable"] > 0
    again = Contrast.of_record(record)
    assert {**again.as_record(), "detectable": record["detectable"]} == record
