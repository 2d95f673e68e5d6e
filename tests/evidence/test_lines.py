"""One method on one problem: its numbers by seed, its budget, and what its test examples leave open."""

import dataclasses

import numpy as np
import pytest

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line
from tests.histories import as_run, data_run, with_examples

Z = 1.959964
ACCURACIES = {"a.accuracy": (0.5, True), "b.accuracy": (0.5, True)}


def lines(**changes) -> tuple[Line, Line]:
    made = []
    for method in ("pcgrad", "sum"):
        runs = [as_run(data_run("p", method, seed, 0.0, ACCURACIES)) for seed in range(3)]
        made.append(Line([with_examples(dataclasses.replace(run, **changes), 1000) for run in runs], "best-val"))
    return made[0], made[1]


def test_a_line_answers_for_its_seeds_at_the_epoch_that_its_rule_picks():
    mine, theirs = lines()
    bits = [[line.examples[seed]["a.accuracy"].values for seed in range(3)] for line in (mine, theirs)]
    differences = np.mean(bits[0], axis=0) - np.mean(bits[1], axis=0)
    assert mine.noise(theirs, "a.accuracy") == pytest.approx(Z * differences.std(ddof=1) / 1000**0.5, rel=1e-5)
    seed = mine.runs[1]
    best = int(np.argmax([np.mean([row["val.a.accuracy"], row["val.b.accuracy"]]) for row in seed.epochs]))
    assert bits[0][1].mean() == pytest.approx(seed.epochs[best]["test.a.accuracy"], abs=0.5 / 1000)
    fewer = Line(theirs.runs[:2], "best-val")
    assert mine.noise(fewer, "a.accuracy") != mine.noise(theirs, "a.accuracy")


def test_a_mean_over_tasks_follows_what_the_tasks_are_tested_on():
    mine, theirs = lines()
    apart = lines(test_rows={"a": 1000, "b": 1000})
    each = [mine.noise(theirs, name) for name in ACCURACIES]
    assert apart[0].noise(apart[1], "all.accuracy") == pytest.approx(np.hypot(*each) / 2)
    assert mine.noise(theirs, "all.accuracy") != apart[0].noise(apart[1], "all.accuracy")


def without(run: Run) -> Run:
    return dataclasses.replace(run, examples=None)


def test_where_it_is_not_known():
    mine, theirs = lines()
    assert mine.noise(Line([without(run) for run in theirs.runs], "best-val"), "a.accuracy") is None
    assert mine.noise(Line([theirs.runs[0], without(theirs.runs[1])], "best-val"), "a.accuracy") is None
    assert mine.noise(Line([dataclasses.replace(theirs.runs[0], seed=9)], "best-val"), "a.accuracy") is None
    other = [dataclasses.replace(run, data_sha256="1" * 64) for run in theirs.runs]
    assert mine.noise(Line(other, "best-val"), "a.accuracy") is None, "other examples"
    fewer = [with_examples(run, 900) for run in theirs.runs]
    assert mine.noise(Line(fewer, "best-val"), "a.accuracy") is None, "fewer examples"
    assert Line(mine.runs, "last10").noise(theirs, "a.accuracy") is None, "no one epoch"
