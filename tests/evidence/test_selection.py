"""Selection rules on a record built so that each picks another epoch (as DomainBed tests its own)."""

import json
from collections.abc import Callable

import pytest

from gradsurgery.evidence.history import Run, parse
from gradsurgery.evidence.selection import FAIR, RULES, select

VALIDATION, TEST = [0.5, 0.9, 0.7, 0.6], [0.4, 0.6, 0.8, 0.5]


@pytest.fixture
def run(made_up: Callable[..., dict]) -> Run:
    record = made_up("p", "pcgrad", 0, 0.0)
    for row, val, test in zip(record["epochs"], VALIDATION, TEST, strict=True):
        for task in ("left", "right"):
            row[f"val.{task}.accuracy"], row[f"test.{task}.accuracy"] = val, test
    return parse([json.dumps(record)], "memory")[0]


@pytest.mark.parametrize(("rule", "value"), [("best-val", 0.6), ("last", 0.5), ("last10", 0.65), ("best-test", 0.8)])
def test_each_rule_picks_its_epoch(run: Run, rule: str, value: float) -> None:
    assert select(run, rule) == pytest.approx({"left.accuracy": value, "right.accuracy": value})


def test_earliest_of_equal_epochs_wins(run: Run) -> None:
    run.epochs[3] |= {"val.left.accuracy": 0.9, "val.right.accuracy": 0.9}
    assert RULES["best-val"](run) == [1]


def test_lower_is_better_turns_the_choice_round(run: Run, made_up: Callable[..., dict]) -> None:
    record = made_up("p", "pcgrad", 0, 0.0)
    record["epochs"], record["metrics"] = run.epochs, {"left.accuracy": False, "right.accuracy": False}
    assert RULES["best-val"](parse([json.dumps(record)], "memory")[0]) == [0]


def test_single_task_run_is_chosen_and_judged_by_its_own_task(made_up: Callable[..., dict]) -> None:
    record = made_up("p", "single_task-right", 0, 0.0)
    for row, val in zip(record["epochs"], VALIDATION, strict=True):
        row["val.right.accuracy"], row["val.left.accuracy"] = val, 1.0 - 10 * val
    chosen = parse([json.dumps(record)], "memory")[0]
    assert RULES["best-val"](chosen) == [1]
    assert list(select(chosen, "best-val")) == ["right.accuracy"]


@pytest.mark.parametrize(("epochs", "first"), [(1, 0), (3, 1), (19, 9), (20, 10), (200, 190)])
def test_last10_averages_ten_epochs_but_never_more_than_half(
    made_up: Callable[..., dict], epochs: int, first: int
) -> None:
    run = parse([json.dumps(made_up("p", "pcgrad", 0, 0.0, epochs))], "memory")[0]
    assert list(RULES["last10"](run)) == list(range(first, epochs))


def test_rules_that_look_at_the_test_set_are_not_fair() -> None:
    assert set(RULES) - set(FAIR) == {"last10", "best-test"}


def test_metrics_of_several_kinds_count_by_relative_change(made_up: Callable[..., dict]) -> None:
    record = made_up("p", "pcgrad", 0, 0.0)
    record["metrics"] = {"left.mae": False, "right.ssim": True}
    for row, error, likeness in zip(record["epochs"], [0.10, 0.05, 0.09, 0.10], [0.6, 0.55, 0.61, 0.5], strict=True):
        for split in ("val", "test"):
            row |= {f"{split}.left.mae": error, f"{split}.right.ssim": likeness}
    # A halved error outweighs a similarity that is a tenth lower, although its number moves by less.
    assert RULES["best-val"](parse([json.dumps(record)], "memory")[0]) == [1]


def test_unknown_rule_is_refused(run: Run) -> None:
    with pytest.raises(ValueError, match="`selection` must be one of best-val, last, last10, best-test, found 'best'"):
        select(run, "best")
