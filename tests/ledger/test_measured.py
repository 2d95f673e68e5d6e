"""Our number for a record, by hand: which epoch, which seeds, which unit, and whose noise."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Run, parse
from gradsurgery.evidence.lines import Line
from gradsurgery.ledger.measured import contrast_of, ends_of, level_of
from tests.histories import with_examples


def against(ours: list[Run], theirs: list[Run], metric: str) -> Contrast:
    return contrast_of(Line(ours, "best-val"), Line(theirs, "best-val"), metric, "higher")


@pytest.fixture
def runs(made_up: Callable[..., dict]) -> Callable[..., list[Run]]:
    """Runs of one method by seed; epoch 2 validates best, epoch 3 is best on test."""

    def build(method: str, left: dict[int, float], **changes: Any) -> list[Run]:
        records = []
        for seed, value in left.items():
            record = made_up("p", method, seed, 0.0, 4) | changes
            for index, row in enumerate(record["epochs"]):
                row |= {"train.left.loss": 0.4 / (index + 1), "train.right.loss": 0.8 / (index + 1)}
                for task, more in (("left", 0.0), ("right", 0.1)):
                    row[f"val.{task}.accuracy"] = 0.9 if index == 1 else 0.5
                    row[f"test.{task}.accuracy"] = value + more + (0.05 if index == 2 else 0.0)
            records.append(json.dumps(record))
        return parse(records, method)

    return build


def test_a_value_is_that_of_the_epoch_that_the_problem_selects(runs: Callable[..., list[Run]]) -> None:
    made = runs("sum", {0: 0.6, 1: 0.7})
    assert level_of(Line(made, "best-val"), "left.accuracy").mean == pytest.approx(0.65)
    assert level_of(Line(made, "best-val"), "all.accuracy").mean == pytest.approx(0.7)
    assert level_of(Line(made, "best-test"), "left.accuracy").mean == pytest.approx(0.7)


def test_the_training_loss_is_that_of_the_last_epoch_over_all_tasks(runs: Callable[..., list[Run]]) -> None:
    assert level_of(Line(runs("sum", {0: 0.6}), "best-val"), "final_train_loss").mean == pytest.approx(0.15)


def test_a_difference_pairs_seeds_and_leaves_out_what_one_side_lacks(runs: Callable[..., list[Run]]) -> None:
    ours, theirs = runs("pcgrad", {0: 0.61, 1: 0.72, 2: 0.99}), runs("sum", {0: 0.60, 1: 0.70, 3: 0.1})
    found = against(ours, theirs, "left.accuracy").difference
    assert (found.n, found.mean, found.sd) == (2, pytest.approx(0.015), pytest.approx(0.5**0.5 / 100))
    with pytest.raises(ValueError, match="must name experiments that share a seed, found none in p-pcgrad and p-sum"):
        against(ours[2:], theirs, "left.accuracy")


def test_ends_of_descents_are_paired_by_start(runs: Callable[..., list[Run]]) -> None:
    """Total loss of the last step, start by start: (1 + 2) - (1 + 1) = 1 and (5 + 5) - (3 + 2) = 5."""
    ends = {"pcgrad": [[1.0, 2.0], [5.0, 5.0]], "sum": [[1.0, 1.0], [3.0, 2.0]]}
    made = {
        method: [
            dataclasses.replace(run, trajectory={"losses": [[[9.0, 9.0], [9.0, 9.0]], end]})
            for run in runs(method, {0: 0.5})
        ]
        for method, end in ends.items()
    }
    assert ends_of(Line(made["pcgrad"], "last"), Line(made["sum"], "last")).tolist() == [1.0, 5.0]


def test_noise_is_that_of_the_pair(runs: Callable[..., list[Run]]) -> None:
    ours, theirs, blind = runs("pcgrad", {0: 0.6}), runs("sum", {0: 0.8}), runs("sum", {0: 0.8})
    ours, theirs = ([with_examples(run, 100) for run in side] for side in (ours, theirs))
    for metric in ("left.accuracy", "all.accuracy"):
        found = against(ours, theirs, metric).noise
        assert found is not None
        assert found == Line(ours, "best-val").noise(Line(theirs, "best-val"), metric)
    assert against(ours, blind, "left.accuracy").noise is None, "not known without examples"
