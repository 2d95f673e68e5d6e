"""Time to target, by hand-made courses: who is as good as the sum at its end, when, and at what price."""

import dataclasses

import pytest

from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.targets import TAUS, Reach, profiles, reaches
from tests.histories import as_run, image_run

COURSES = {  # validation accuracy of both tasks, by epoch
    "sum": ([0.5, 0.6, 0.7, 0.8], [0.5, 0.9, 0.8, 0.8], [0.5, 0.6, 0.7, 0.9]),
    "pcgrad": ([0.8, 0.8, 0.8, 0.8], [0.7, 0.7, 0.8, 0.9], [0.5, 0.6, 0.7, 0.8]),
    "sam_gs": ([0.1] * 4, [0.1] * 4, [0.9] * 4),
    "static-30": ([0.9] * 4, [0.9] * 4, [0.9] * 4),
    "single_task-left": ([0.9] * 4, [0.9] * 4, [0.9] * 4),
    "placebo_random": ([0.9] * 4, [0.9] * 4, [0.9] * 4),
}


def _line(method):
    runs = []
    for seed, course in enumerate(COURSES[method]):
        run = as_run(image_run("multi_mnist", method, seed, 0.0))
        rows = [
            row | {"val.left.accuracy": value, "val.right.accuracy": value}
            for row, value in zip(run.epochs, course, strict=True)
        ]
        runs.append(dataclasses.replace(run, epochs=rows))
    return Line(runs, "best-val")


def _cost(method, passes=1.0, step_ms=10.0, steps=400):
    row = {"seconds": 99.0, "step_ms": step_ms, "steps": steps, "backward_passes_per_step": passes}
    return {f"multi_mnist-{method}": {"seeds": {str(seed): row for seed in range(3)}}}


@pytest.fixture
def lines():
    return {method: _line(method) for method in COURSES}


def test_each_seed_has_the_sums_own_end_as_its_target(lines):
    found = reaches(lines, _cost("sum") | _cost("pcgrad", passes=2.0, step_ms=30.0))
    # epochs 4, 2 and 4 of 4, and 1, 3 and never: the middle one
    assert found["sum"] == Reach(3, 3, {"epochs": 4.0, "backward passes": 400.0, "seconds": pytest.approx(4.0)})
    assert found["pcgrad"] == Reach(2, 3, {"epochs": 3.0, "backward passes": 600.0, "seconds": pytest.approx(9.0)})


def test_a_method_that_fails_on_most_seeds_pays_infinitely_much(lines):
    found = reaches(lines, _cost("sam_gs"))["sam_gs"]
    assert (found.reached, found.n) == (1, 3)
    assert found.paid == {"epochs": None, "backward passes": None, "seconds": None}


def test_what_is_not_on_record_is_missing(lines):
    assert set(reaches(lines, {})["pcgrad"].paid) == {"epochs"}
    assert set(reaches(lines, _cost("pcgrad", passes=0))["pcgrad"].paid) == {"epochs", "seconds"}
    assert set(reaches(lines, _cost("pcgrad", steps=0))["pcgrad"].paid) == {"epochs"}


def test_only_methods_and_baselines_that_answer_for_all_tasks_are_held_to_it(lines):
    assert set(reaches(lines, {})) == {"sum", "pcgrad", "sam_gs"}
    del lines["sum"]
    assert reaches(lines, {}) == {}


def test_of_two_seeds_both_must_reach_it(lines):
    two = {method: Line(line.runs[1:], line.rule) for method, line in lines.items()}
    assert reaches(two, {})["pcgrad"].paid == {"epochs": None}
    assert reaches(two, {})["sum"].paid == {"epochs": 4.0}


def _paid(**epochs):
    return {method: Reach(3, 3, {"epochs": value}) for method, value in epochs.items()}


def test_a_profile_is_the_share_of_problems_within_a_factor_of_the_cheapest():
    found = profiles({
        "a": _paid(sum=2.0, pcgrad=4.0), "b": _paid(sum=3.0, pcgrad=3.0), "c": _paid(sum=8.0, pcgrad=None),
        "d": _paid(sum=4.0, pcgrad=1.0),
    })["epochs"]  # fmt: skip
    assert [found["pcgrad"].problems, found["sum"].problems] == [4, 4]
    at = {tau: TAUS.index(tau) for tau in (1.0, 2.0, 4.0, 16.0)}
    assert [found["pcgrad"].shares[at[tau]] for tau in at] == [0.5, 0.75, 0.75, 0.75]
    assert [found["sum"].shares[at[tau]] for tau in at] == [0.75, 0.75, 1.0, 1.0]


def test_a_method_on_few_problems_has_no_profile_and_shares_are_of_its_own_problems():
    rows = {name: _paid(sum=1.0, pcgrad=2.0) for name in "abc"} | {"d": _paid(sum=1.0, mgda=1.0)}
    found = profiles(rows)["epochs"]
    assert {method: profile.problems for method, profile in found.items()} == {"sum": 4, "pcgrad": 3}
    assert found["pcgrad"].shares[TAUS.index(2.0)] == 1.0
    assert profiles({}) == {}
