"""One method on one problem: its numbers by seed, its budget, and what its test examples leave open."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line, best_validated, lines_of, paired
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


def test_values_are_means_over_the_tasks_that_have_the_metric(line: Callable[..., Line]) -> None:
    mine = line("pcgrad")
    left, right, both = (mine.values(f"{task}.accuracy") for task in ("left", "right", "all"))
    assert both == pytest.approx({seed: (left[seed] + right[seed]) / 2 for seed in range(4)})
    assert left[2] == mine.runs[2].epochs[-1]["test.left.accuracy"], "the rule is `last`"
    assert (mine.main, mine.names("all.accuracy")) == ("all.accuracy", ["left.accuracy", "right.accuracy"])


def test_a_single_task_answers_for_its_own_metric_alone(line: Callable[..., Line]) -> None:
    alone, whole = line("single_task-right"), line("sum")
    assert (alone.whole, whole.whole) == (False, True)
    answered = [[one.answers(f"{task}.accuracy") for task in ("left", "right", "all")] for one in (alone, whole)]
    assert answered == [[False, True, False], [True, True, True]]
    assert not whole.answers("all.auc"), "what no task has"


def test_validation_turns_an_error_round() -> None:
    runs = [as_run(data_run("p", "sum", 0, 0.0, {"a.mae": (0.3, False), "b.mae": (0.5, False)}))]
    row = runs[0].epochs[-1]
    assert Line(runs, "last").validation()[0] == pytest.approx(-(row["val.a.mae"] + row["val.b.mae"]) / 2)
    assert not Line(runs, "last").higher("all.mae")


def test_the_best_validated_is_chosen_seed_by_seed_among_seeds_that_all_have(line: Callable[..., Line]) -> None:
    low, high = line("static-30", -0.1), line("static-50", 0.1)
    turned = [dataclasses.replace(run, epochs=low.runs[run.seed].epochs) for run in high.runs[:1]]
    mixed = Line([*turned, *high.runs[1:3]], "last")
    better = Line([high.runs[0], *low.runs[1:]], "last")
    assert best_validated([better, mixed]) == {0: better, 1: mixed, 2: mixed}
    assert best_validated([low, low]) == dict.fromkeys(range(4), low)
    assert best_validated([]) == {}


def test_differences_are_taken_on_shared_seeds_in_their_order() -> None:
    assert paired({3: 1.0, 1: 5.0, 2: 0.0}, {1: 2.0, 3: 4.0, 9: 7.0}) == [3.0, -3.0]
    assert paired({1: 1.0}, {2: 1.0}) == []


def test_lines_of_a_problem_are_known_by_method_in_the_order_of_names() -> None:
    members = {f"p-{m}": [as_run(data_run("p", m, 0, 0.0, ACCURACIES))] for m in ("sum", "mgda")}
    found = lines_of(members, "last")
    assert [(m, one.run.experiment) for m, one in found.items()] == [("mgda", "p-mgda"), ("sum", "p-sum")]
