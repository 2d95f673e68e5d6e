"""What was registered: margins, seeds, turns, and how many seeds of a design are there under this very protocol."""

import dataclasses

import pytest

from gradsurgery.evidence.history import Run
from gradsurgery.ledger.protocol import Design, Protocol
from tests.histories import as_run, image_run

FIRST = Design("a/one", "overnight", 3, lines=("p-pcgrad", "p-sum"))
SECOND = Design("b/two", "overnight", 2, lines=("p-sum", "p-mgda"))
PROTOCOL = Protocol(0.05, 0.8, {"accuracy": 0.005}, 1000, {"a": (FIRST,), "b": (SECOND,)}, "hash")


def runs(method: str, seeds: range, under: str | None = "hash") -> list[Run]:
    made = [as_run(image_run("p", method, seed, 0.0, 1)) for seed in seeds]
    return [dataclasses.replace(run, protocol=under) for run in made]


def test_a_margin_is_that_of_the_metrics_last_word() -> None:
    assert PROTOCOL.margin("left.accuracy") == PROTOCOL.margin("accuracy") == 0.005
    assert PROTOCOL.margin("left.auc") is None


def test_seeds_of_a_design_begin_at_the_first() -> None:
    assert [*PROTOCOL.seeds(FIRST)] == [1000, 1001, 1002]
    assert (PROTOCOL.design("b/two"), PROTOCOL.design("b/three")) == (SECOND, None)


def test_a_line_of_two_designs_is_asked_for_the_most_seeds_of_both() -> None:
    asked = {line: len(PROTOCOL.asked(line, "overnight")) for line in ("p-pcgrad", "p-sum", "p-mgda", "p-dwa")}
    assert asked == {"p-pcgrad": 3, "p-sum": 3, "p-mgda": 2, "p-dwa": 0}
    assert not PROTOCOL.asked("p-sum", "laptop"), "at another scale nothing was registered"


@pytest.mark.parametrize(
    ("seeds", "under", "there"),
    [
        (range(1000, 1003), "hash", 3),
        (range(1001, 1003), "hash", 2),
        (range(1000, 1020), "hash", 3),  # more than were asked for are not counted
        (range(3), "hash", 0),
        (range(1000, 1003), "another", 0),
        (range(1000, 1003), None, 0),  # begun before the design was committed
    ],
)
def test_only_registered_seeds_that_every_line_has_are_there(seeds: range, under: str | None, there: int) -> None:
    whole = runs("sum", range(1000, 1003))
    assert PROTOCOL.there(FIRST, {"p-sum": whole, "p-pcgrad": runs("pcgrad", seeds, under)}) == there
    assert PROTOCOL.there(FIRST, {"p-sum": whole}) == 0, "one of its lines was not run"


def test_one_paper_comes_after_the_other_and_in_it_one_seed_after_the_other() -> None:
    asked = [(line, seed) for line in ("p-mgda", "p-pcgrad", "p-sum") for seed in range(999, 1004)]
    turns = {(line, seed): PROTOCOL.turn(line, seed, "overnight") for line, seed in asked}
    assert turns["p-pcgrad", 1002] == (0, 1002, 0)
    assert turns["p-sum", 1000] == (0, 1000, 0), "the first paper's, which asks for it too"
    assert turns["p-mgda", 1001] == (1, 1001, 0)
    assert {key for key, turn in turns.items() if turn is None} >= {("p-sum", 999), ("p-sum", 1003), ("p-mgda", 1002)}
