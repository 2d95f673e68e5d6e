"""When a run counts as diverged, in the learner and in its history; and that one bad batch is not yet a divergence."""

import json
import math

import pytest
import torch

from gradsurgery.core.divergence import finite_or_null, has_diverged, mean_of_finite
from gradsurgery.experiment import history

ROW = {"epoch": 2, "train.left.loss": 0.5, "val.left.accuracy": 0.5, "test.left.accuracy": 0.5, "val.other": math.nan}


@pytest.mark.parametrize(
    ("change", "steps", "skipped", "expected"),
    [
        ({}, 4, 0, False),
        ({}, 4, 3, False),
        ({}, 4, 4, True),
        ({}, 0, 0, False),  # a rule with steps of its own
        ({"train.left.loss": math.nan}, 4, 0, True),
        ({"val.left.loss": math.inf}, 4, 0, True),
        ({"test.left.accuracy": math.nan}, 4, 0, True),
        ({"val.left.accuracy": -math.inf}, 4, 0, True),
        ({"train.gate": math.nan}, 4, 0, False),
    ],
)
def test_a_loss_or_a_metric_that_is_not_finite_or_no_step_taken(change, steps, skipped, expected):
    assert has_diverged(ROW | change, ["left.accuracy"], steps, skipped) is expected


def test_numbers_without_a_word_in_strict_json_are_null():
    assert finite_or_null({"a": [1, 1.5, math.nan, (math.inf, "x")], "b": None, "c": True}) == {
        "a": [1, 1.5, None, [None, "x"]], "b": None, "c": True,
    }  # fmt: skip


def test_the_mean_leaves_out_what_is_not_finite():
    assert mean_of_finite([1.0, math.nan, 3.0, math.inf]) == 2.0
    assert math.isnan(mean_of_finite([math.nan, math.inf]))


def _line(learner, declare):
    return history(
        learner, declare(), experiment="e", seed=0, scale="smoke", track="controlled", role={}, family="x",
        data_sha256="0",
    )  # fmt: skip


@pytest.mark.parametrize("aggregator", ["sum", "pcgrad", "cagrad", "sam_gs"])
def test_a_network_of_nan_has_diverged_and_its_history_is_strict_json(make, declare, aggregator):
    learner = make(aggregator)
    learner.epoch()
    assert learner.diverged is None
    with torch.no_grad():
        for parameter in learner.network.parameters():
            parameter.fill_(math.nan)
    learner.epoch()
    learner.epoch()
    assert learner.diverged == 2, "the first epoch that did, and no later one"
    line = json.loads(json.dumps(_line(learner, declare), allow_nan=False))
    assert line["diverged"] == 2
    assert line["epochs"][0]["val.left.accuracy"] is not None
    assert line["epochs"][1]["val.left.accuracy"] is None
    fresh = make(aggregator)
    fresh.load_state_dict(learner.state_dict())
    assert fresh.diverged == 2


def test_one_batch_without_a_loss_is_left_out_and_does_not_spoil_the_epoch(make, declare, monkeypatch):
    learner, seen = make("pcgrad"), []

    def losses(network, batch):
        seen.append(0)
        found = type(learner.problem).losses(learner.problem, network, batch)
        return [found[0] * math.nan, found[1]] if len(seen) == 2 else found

    monkeypatch.setattr(learner.problem, "losses", losses)
    row = learner.epoch()
    assert learner.skipped_steps == 1
    assert learner.diverged is None
    assert all(map(math.isfinite, row.values()))
    assert _line(learner, declare)["diverged"] is None


def test_an_epoch_of_which_every_step_was_left_out_has_diverged(make, monkeypatch):
    learner = make("pcgrad")
    own = learner.problem.losses
    monkeypatch.setattr(learner.problem, "losses", lambda *a: [loss * math.inf for loss in own(*a)])
    row = learner.epoch()
    assert math.isfinite(row["val.left.loss"]), "the network is as it was"
    assert learner.diverged == 1
