"""Dialled conflict: what is held against what, by hand-made runs."""

import dataclasses

import pytest

from gradsurgery.evidence.dose import doses
from gradsurgery.evidence.evaluation import evaluate
from tests.histories import as_run, dialled, image_run


@pytest.fixture
def measured():
    return evaluate(dialled(), {}, {}, {}, []).measured


def test_every_dose_says_what_was_dialled(measured):
    assert {name: (d.tasks, d.ratio, d.dial, d.position) for name, d in measured.doses.items()} == {
        "dial_r1": (2, 1.0, "cosine", -0.5), "dial_r4": (2, 4.0, "cosine", -0.5),
    }  # fmt: skip


def test_conflict_grows_as_the_cosine_falls_or_more_classes_are_permuted(measured):
    groups = dialled()
    tied = {"cosine": None, "permuted": 5}
    groups["dial_r1-sum"] = [_with(run, **tied) for run in groups["dial_r1-sum"]]
    found = evaluate(groups, {}, {}, {}, []).measured.doses["dial_r1"]
    assert (found.dial, found.position, found.conflict) == ("permuted", 5.0, 5.0)
    assert measured.doses["dial_r1"].conflict == 0.5


def test_equal_weights_are_those_of_the_same_cosine(measured):
    at_four = measured.doses["dial_r4"]
    assert at_four.equal.mean == pytest.approx(0.10)
    assert measured.doses["dial_r1"].equal.mean == 0.0
    assert at_four.beyond["pcgrad"].mean == pytest.approx(0.04 - 0.10)
    assert at_four.beyond["pcgrad"].n == 3
    assert at_four.above == []


def test_a_line_above_the_sum_at_equal_weights_is_named():
    groups = dialled()
    groups["dial_r4-pcgrad"] = [_moved(run, 0.07) for run in groups["dial_r4-pcgrad"]]
    assert evaluate(groups, {}, {}, {}, []).measured.doses["dial_r4"].above == ["pcgrad"]


def _moved(run, more):
    rows = [{k: v + more if k.endswith(".accuracy") else v for k, v in row.items()} for row in run.epochs]
    return dataclasses.replace(run, epochs=rows)


def test_static_weights_are_those_that_validate_best_on_each_seed(measured):
    """static-80 validates better on seeds 0 and 1, the sum on seed 2, whatever they do on the test set."""
    assert measured.doses["dial_r4"].static.mean == pytest.approx((0.09 + 0.09 + 0.0) / 3)
    assert measured.doses["dial_r1"].static is None


def test_a_task_alone_is_the_mean_of_those_that_were_trained_alone(measured):
    assert measured.doses["dial_r1"].alone.mean == pytest.approx((0.84 + 0.86) / 2)
    assert measured.doses["dial_r4"].alone is None
    assert "single_task-head_1" not in measured.doses["dial_r1"].beyond


def test_the_cosine_is_the_median_over_the_sums_steps(measured):
    assert measured.doses["dial_r4"].measured.mean == pytest.approx(-0.3)


def test_another_optimiser_has_no_equal_weights_beside_it():
    groups = dialled()
    groups["dial_r1-sum"] = [_with(run, optimizer="sgd") for run in groups["dial_r1-sum"]]
    found = evaluate(groups, {}, {}, {}, []).measured.doses["dial_r4"]
    assert (found.equal, dict(found.beyond)) == (None, {})


def _with(run, **settings):
    declaration = {**run.declaration, "settings": {**run.declaration["settings"], **settings}}
    return dataclasses.replace(run, declaration=declaration)


def test_other_problems_are_not_dialled():
    assert doses({}) == {}
    assert (
        evaluate({"multi_mnist-sum": [as_run(image_run("multi_mnist", "sum", 0, 0.0))]}, {}, {}, {}, []).measured.doses
        == {}
    )


def test_dialled_problems_are_not_ranked(monkeypatch):
    from gradsurgery.evidence import ranks

    seen = []
    monkeypatch.setattr(ranks, "levels", lambda problems, *_: seen.extend(problems) or {})
    evaluate(dialled(), {}, {}, {}, [])
    assert seen == []
