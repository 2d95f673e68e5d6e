"""The split-batch null: by autograd, and as if nobody had looked."""

import pytest
import torch

from gradsurgery.core.half_batches import half_batch_null
from gradsurgery.rules.split_batches import part


def parameters(learner):
    return torch.cat([p.detach().reshape(-1) for p in learner.network.parameters()])


def test_a_step_that_is_skipped_takes_no_null(make):
    learner = make(half_batches=True, diagnose_every=1)
    batches = list(learner.problem.batches(*_streams(learner)))
    whole = learner.problem.losses
    learner.problem.losses = lambda network, batch: [loss * torch.nan for loss in whole(network, batch)]
    learner.step(batches[0])
    assert learner.diagnostics == []
    learner.problem.losses = whole
    learner.step(batches[1])
    assert [row["step"] for row in learner.diagnostics] == [1]
    assert "null.same_task" in learner.diagnostics[0]


def test_micro_batches_are_halved_and_added_up():
    w = torch.nn.Parameter(torch.ones(3))
    batches = [torch.eye(4, 3), torch.arange(12.0).reshape(4, 3)]
    null, layers = half_batch_null(lambda x: [(x @ w).sum(), (x @ w).square().sum()], batches, [w], {"w": [w]})
    first, second = batches[0][:2].sum(0) + batches[1][:2].sum(0), batches[0][2:].sum(0) + batches[1][2:].sum(0)
    squares = [2 * sum(x.T @ (x.sum(1)) for x in (b[side] for b in batches)) for side in (slice(0, 2), slice(2, 4))]
    cosines = [float(torch.cosine_similarity(a, b, dim=0)) for a, b in ((first, second), squares)]
    assert null["null.same_task"] == pytest.approx(sum(cosines) / 2, abs=1e-6)
    assert layers == [{name: pytest.approx(null[name]) for name in ("null.same_task", "null.cross_task")}]


def test_taking_the_null_changes_no_bit(make):
    joint, null = make(), make(half_batches=True)
    assert joint.epoch() == null.epoch()
    assert torch.equal(parameters(joint), parameters(null))
    assert [r["step"] for r in null.diagnostics] == [r["step"] for r in joint.diagnostics] == [0, 3]
    for mine, theirs in zip(null.diagnostics, joint.diagnostics, strict=True):
        assert {k: v for k, v in mine.items() if not k.startswith("null.")} == theirs


def test_the_null_by_autograd(make):
    learner = make(half_batches=True)
    kept = [p.detach().clone() for p in learner.network.parameters()]
    batch = next(learner.problem.batches(*_streams(learner)))
    learner.epoch()
    for p, value in zip(learner.network.parameters(), kept, strict=True):
        p.data.copy_(value)
    rows = []
    for m in range(2):
        for loss in learner.problem.losses(learner.network, part(batch, m, 2)):
            grads = torch.autograd.grad(loss, learner.surgery.parameters, retain_graph=True)
            rows.append(torch.cat([g.reshape(-1) for g in grads]).double())
    J = torch.nn.functional.normalize(torch.stack(rows), dim=1)
    C = J @ J.T
    row = learner.diagnostics[0]
    assert row["null.same_task"] == pytest.approx(float(C[0, 2] + C[1, 3]) / 2, abs=1e-6)
    assert row["null.cross_task"] == pytest.approx(float(C[0, 3] + C[1, 2]) / 2, abs=1e-6)
    assert row["null.random_sd"] == pytest.approx(J.shape[1] ** -0.5)


def test_the_null_of_every_layer_by_autograd(make):
    """Each layer's null is the whole network's, on that layer's columns alone."""
    learner = make(half_batches=True, observe_layers=True)
    kept = [p.detach().clone() for p in learner.network.parameters()]
    batch = next(learner.problem.batches(*_streams(learner)))
    learner.epoch()
    for p, value in zip(learner.network.parameters(), kept, strict=True):
        p.data.copy_(value)
    assert [row["step"] for row in learner.instruments.rows] == [0, 3]
    for i, own in enumerate(learner.instruments.layers.values()):
        rows = []
        for m in range(2):
            for loss in learner.problem.losses(learner.network, part(batch, m, 2)):
                grads = torch.autograd.grad(loss, own, retain_graph=True)
                rows.append(torch.cat([g.reshape(-1) for g in grads]).double())
        J = torch.nn.functional.normalize(torch.stack(rows), dim=1)
        C = J @ J.T
        row = learner.instruments.rows[0]
        assert row["null.same_task"][i] == pytest.approx(float(C[0, 2] + C[1, 3]) / 2, abs=1e-6)
        assert row["null.cross_task"][i] == pytest.approx(float(C[0, 3] + C[1, 2]) / 2, abs=1e-6)


def test_the_null_leaves_batch_statistics_alone(make):
    """BatchNorm's running mean must not see the extra forward passes."""
    network = {"name": "resnet", "width": 4}
    joint = make(settings={"network": network, "epochs": 1})
    null = make(half_batches=True, settings={"network": network, "epochs": 1})
    assert joint.epoch() == null.epoch()
    for a, b in zip(joint.network.buffers(), null.network.buffers(), strict=True):
        assert torch.equal(a, b)


def _streams(learner):
    from gradsurgery.core.seeding import Generators

    fresh = Generators(learner.generators.seed)
    return fresh.order, fresh.augmentation
