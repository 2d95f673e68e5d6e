"""Micro-batches against the joint batch, and dealt out to the tasks. G16 is the specification's entry of that name."""

import numpy as np
import pytest
import torch

from gradsurgery.core.declaration import validate
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


class Counter:
    """Counts the forward passes of a learner's network, and the backward passes that reach its first shared weight."""

    def __init__(self, learner):
        self.forward = self.backward = 0
        learner.network.register_forward_pre_hook(self._forward)
        learner.surgery.parameters[0].register_post_accumulate_grad_hook(self._backward)

    def _forward(self, module, inputs):
        self.forward += module.training

    def _backward(self, parameter):
        self.backward += 1


def stochastic(n, **more):
    return {"name": "joint", "micro_batches": n, "accumulation": "stochastic"} | more


def first_batch(learner):
    return next(learner.problem.batches(np.random.default_rng(0), np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("accumulation", "aggregator", "passes"),
    [("exact", "gcond", 8), ("stochastic", "gcond", 4), ("exact", "sum", 4), ("stochastic", "sum", 4)],
)
def test_exact_costs_n_times_k_passes_and_stochastic_n(make, accumulation, aggregator, passes):  # G16, N = 4, K = 2
    rule = {"name": "joint", "micro_batches": 4, "accumulation": accumulation}
    learner = make(aggregator, rule=rule, settings={"batch_size": 8}, diagnose_every=100)
    learner.step(first_batch(learner))  # the diagnosed step
    counter = Counter(learner)
    learner.epoch()  # eight batches: two steps
    assert (learner.step_count, counter.forward, counter.backward) == (3, 8, 2 * passes)
    assert learner.backward_passes == passes


def test_scored_steps_cost_k_passes_whatever_the_method(make):
    learner = make("sum", score_layers=[0.0], diagnose_every=100)
    counter = Counter(learner)
    learner.epoch()
    assert learner.backward_passes == 2
    assert counter.backward == 2 * learner.step_count


@pytest.mark.parametrize("aggregator", ["sum", "pcgrad", "gcond"])
def test_equal_micro_batches_give_the_same_gradients_either_way(make, aggregator):  # G16
    learners = [make(aggregator, rule=rule) for rule in ("joint", stochastic(4))]
    batch = first_batch(learners[0])
    learners[0].step(*[batch] * 4)
    learners[1].step(*[batch] * 4, owners=[0, 0, 1, 1])
    J, K = (learner.surgery.jacobian for learner in learners)
    torch.testing.assert_close(J, K, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(parameters(learners[0]), parameters(learners[1]), rtol=1e-5, atol=1e-8)


def test_stochastic_rows_are_means_over_blocks_in_a_row(make):
    learner, plain = (make("pcgrad", rule=stochastic(4), settings={"batch_size": 8}) for _ in range(2))
    batches = list(plain.problem.batches(plain.generators.order, plain.generators.augmentation))[:4]
    network = plain.network
    for k, block in ((0, batches[:2]), (1, batches[2:])):
        loss = sum(plain.problem.losses(network, batch)[k] for batch in block) / 2
        rows = torch.autograd.grad(loss, network.shared_parameters())
        expected = torch.cat([row.flatten() for row in rows])
        if k == 0:
            first = expected
    own = learner.rule.epoch(
        learner, learner.problem.batches(learner.generators.order, learner.generators.augmentation)
    )
    metrics = next(own)
    torch.testing.assert_close(learner.surgery.jacobian, torch.stack([first, expected]), rtol=1e-4, atol=1e-7)
    means = [np.mean([plain.problem.losses(network, b)[k].item() for b in batches]) for k in (0, 1)]
    assert list(metrics.values()) == pytest.approx(means, rel=1e-5)  # every loss on every batch is seen


@pytest.mark.parametrize(
    ("rule", "groups"),
    [
        ({"name": "joint", "micro_batches": 3}, [3, 3]),
        ({"name": "joint", "micro_batches": 3, "leftover": "average"}, [3, 3, 2]),
        (stochastic(6), [6]),
        (stochastic(6, leftover="average"), [6, 2]),
    ],
)
def test_leftovers_are_dropped_or_averaged(make, monkeypatch, rule, groups):
    learner, seen = make("pcgrad", rule=rule, settings={"batch_size": 8}), []
    step = learner.step
    monkeypatch.setattr(
        learner, "step", lambda *batches, owners: seen.append((len(batches), owners)) or step(*batches, owners=owners)
    )
    learner.epoch()
    assert [n for n, _ in seen] == groups
    if rule.get("accumulation") == "stochastic":
        assert seen[0][1] == [0, 0, 0, 1, 1, 1]
        assert seen[-1][1] in ([0, 0, 0, 1, 1, 1], [0, 1])


def test_leftovers_too_few_for_every_task_are_dropped(make):
    learner = make("pcgrad", rule=stochastic(4, leftover="average"), settings={"batch_size": 12})
    learner.epoch()  # five batches: four and one
    assert learner.step_count == 1


def test_an_epoch_without_a_whole_step_is_refused(make):
    with pytest.raises(
        ValueError, match="`micro_batches` must be at most the batches of an epoch, 4, found micro_batches = 5"
    ):
        make(rule={"name": "joint", "micro_batches": 5}).epoch()
    make(rule={"name": "joint", "micro_batches": 5, "leftover": "average"}).epoch()


def test_micro_batches_that_tasks_cannot_share_are_refused(declare):  # G16
    with pytest.raises(
        ValueError, match=r"`micro_batches` must be a multiple of the 2 tasks .* found micro_batches = 3"
    ):
        validate(declare("gcond", rule=stochastic(3)))
    validate(declare("gcond", rule={"name": "joint", "micro_batches": 3}))


def test_every_task_needs_a_micro_batch(make):
    learner = make("pcgrad")
    with pytest.raises(ValueError, match="`owners` must give every task a micro-batch, found none for task 1"):
        learner.step(first_batch(learner), owners=[0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"micro_batches": 0}, "`micro_batches` must be at least 1, found micro_batches = 0"),
        ({"accumulation": "random"}, "`joint.accumulation` must be one of 'exact', 'stochastic', found 'random'"),
        ({"leftover": "keep"}, "`joint.leftover` must be one of 'drop', 'average', found 'keep'"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        build("rules", "joint", **fields)
