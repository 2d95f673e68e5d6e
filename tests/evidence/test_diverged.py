"""Lines of which a seed diverged stand apart, and their entry holds no mean of anything."""

import dataclasses
from collections.abc import Sequence

import pytest

from gradsurgery.evidence.diverged import record, split, told
from gradsurgery.evidence.history import Run
from tests.histories import as_run, image_run


@pytest.fixture
def group() -> list[Run]:
    """Three seeds, of which the second diverged in its third epoch."""
    runs = [as_run(image_run("p", "pcgrad", seed, 0.0)) for seed in range(3)]
    return [dataclasses.replace(run, diverged=3 if run.seed == 1 else None, skipped_steps=run.seed) for run in runs]


def whole(group: Sequence[Run]) -> list[Run]:
    return [dataclasses.replace(run, diverged=None) for run in group]


def test_one_diverged_seed_takes_the_whole_line_out(group: list[Run]) -> None:
    groups = {"p-sum": whole(group), "p-pcgrad": group}
    left, gone = split(groups)
    assert (list(left), list(gone)) == (["p-sum"], ["p-pcgrad"])
    assert gone["p-pcgrad"] == group, "with the seeds that did not diverge, which would flatter it"


def test_the_words_name_every_diverged_seed_and_its_epoch(group: list[Run]) -> None:
    assert told(group) == "diverged (seed 1, epoch 3)"
    twice = [*group[:2], dataclasses.replace(group[2], diverged=1)]
    assert told(twice) == "diverged (seed 1, epoch 3; seed 2, epoch 1)"


def test_its_entry_counts_and_averages_nothing(group: list[Run]) -> None:
    entry = record(group, "last")
    assert (entry["n"], entry["selection"], entry["skipped_steps"]) == (3, "last", 0 + 1 + 2)
    assert entry["diverged"] == {"1": 3}
    assert entry["excluded"] == ["diverged (seed 1, epoch 3)"]
    assert not any(metric in entry for metric in (*group[0].metrics, "rules", "mean_rank", "minus_sum"))
