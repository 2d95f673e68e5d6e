"""Micro-batches against the joint batch."""

import pytest
import torch

from gradsurgery.core.discovery import build


def parameters(learner):
    return torch.cat([p.detach().reshape(-1) for p in learner.network.parameters()])


@pytest.mark.parametrize("aggregator", ["sum", "mean", "pcgrad", "cagrad", "mgda", "sam_gs"])
def test_micro_batches_train_as_the_joint_batch_does(make, aggregator):
    joint = make(aggregator, settings={"batch_size": 32, "momentum": 0.0})
    micro = make(aggregator, rule={"name": "joint", "micro_batches": 4}, settings={"batch_size": 8, "momentum": 0.0})
    a, b = joint.epoch(), micro.epoch()
    assert joint.step_count == micro.step_count == 2
    torch.testing.assert_close(parameters(joint), parameters(micro), rtol=1e-4, atol=1e-6)
    assert a["train.left.loss"] == pytest.approx(b["train.left.loss"], rel=1e-5)


def test_the_last_step_takes_what_is_left(make):
    learner = make(rule={"name": "joint", "micro_batches": 3})
    learner.epoch()
    assert learner.step_count == 2  # four batches: three and one


def test_fewer_than_one_micro_batch_is_refused():
    with pytest.raises(ValueError, match="`micro_batches` must be at least 1, found micro_batches = 0"):
        build("rules", "joint", micro_batches=0)
