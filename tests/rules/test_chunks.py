"""The rules and the balancer behind controls: parts of batches, permuted tasks, and the split-batch null."""

from types import SimpleNamespace

import pytest
import torch

from gradsurgery.rules.chunks import Chunks, part
from gradsurgery.rules.half_batches import HalfBatches
from tests.contracts import generator


def parameters(learner):
    return torch.cat([p.detach().reshape(-1) for p in learner.network.parameters()])


@pytest.mark.parametrize("aggregator", ["sum", "pcgrad"])
def test_parts_alone_change_nothing(make, aggregator):
    joint, chunks = make(aggregator), make(aggregator, rule="chunks")
    a, b = joint.epoch(), chunks.epoch()
    assert joint.step_count == chunks.step_count
    torch.testing.assert_close(parameters(joint), parameters(chunks), rtol=1e-4, atol=1e-6)
    assert a["train.left.loss"] == pytest.approx(b["train.left.loss"], rel=1e-5)


def test_permuted_tasks_leave_the_sum_as_it_is(make):
    """The rows' sum and the heads' gradients are those of training on the sum; only what is called a task differs."""
    plain, permuted = make("sum"), make("sum", "placebo_permuted", "chunks")
    a, b = plain.epoch(), permuted.epoch()
    torch.testing.assert_close(parameters(plain), parameters(permuted), rtol=1e-4, atol=1e-6)
    assert a["train.left.loss"] == pytest.approx(b["train.left.loss"], rel=1e-5)  # the true tasks' losses are logged


def test_rows_are_the_mixtures_of_the_formula(make):
    """Row p of J is (1/K) sum_m grad L_{(p - m) mod K}(part m), by autograd on the parts."""
    learner = make("pcgrad", "placebo_permuted", "chunks")
    batch = next(learner.problem.batches(generator(), generator()))
    parts = [part(batch, m, 2) for m in range(2)]
    losses = [learner.problem.losses(learner.network, each) for each in parts]
    shared = learner.surgery.parameters
    expected = []
    for p in range(2):
        loss = (losses[0][p] + losses[1][(p - 1) % 2]) / 2
        expected.append(torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, shared, retain_graph=True)]))
    learner.step(*parts)
    torch.testing.assert_close(learner.surgery.jacobian, torch.stack(expected), rtol=1e-4, atol=1e-6)


def test_permuting_matters_to_pcgrad(make):
    plain, permuted = make("pcgrad"), make("pcgrad", "placebo_permuted", "chunks")
    for _ in range(3):
        plain.epoch(), permuted.epoch()
    assert not torch.allclose(parameters(plain), parameters(permuted), rtol=1e-4, atol=1e-6)


def test_parts_of_nested_batches():
    batch = (torch.arange(5), {"a": [torch.arange(10).reshape(5, 2)]}, "name")
    first, second = part(batch, 0, 2), part(batch, 1, 2)
    assert first[0].tolist() + second[0].tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(torch.cat([first[1]["a"][0], second[1]["a"][0]]), batch[1]["a"][0])
    assert second[2] == "name"
    with pytest.raises(ValueError, match="`batch_size` must be at least the number of parts, 3, found 2"):
        part(torch.arange(2), 0, 3)


def test_there_are_as_many_parts_as_tasks_and_none_is_lost():
    steps = []
    learner = SimpleNamespace(problem=SimpleNamespace(tasks=["a", "b", "c"]), step=lambda *parts: steps.append(parts))
    list(Chunks().epoch(learner, iter([torch.arange(8)])))
    assert [[part.tolist() for part in step] for step in steps] == [[[0, 1, 2], [3, 4, 5], [6, 7]]]


def test_a_skipped_step_takes_no_null_and_gives_none_to_the_row_before(monkeypatch):
    """A step that is skipped for a non-finite gradient leaves no row of diagnostics."""
    learner = SimpleNamespace(step_count=3, diagnose_every=3, diagnostics=[{"step": 0}], observe_layers=False)

    def skip(batch):
        learner.step_count += 1
        return {}

    learner.step = skip
    monkeypatch.setattr(HalfBatches, "_halves_of", lambda *_: (torch.ones(4, 3), [0, 1]))
    list(HalfBatches().epoch(learner, iter([None])))
    assert learner.diagnostics == [{"step": 0}]


def test_half_batches_train_as_joint_to_the_bit(make):
    joint, null = make(), make(rule="half_batches")
    assert joint.epoch() == null.epoch()
    assert torch.equal(parameters(joint), parameters(null))
    assert [r["step"] for r in null.diagnostics] == [r["step"] for r in joint.diagnostics] == [0, 3]
    for mine, theirs in zip(null.diagnostics, joint.diagnostics, strict=True):
        assert {k: v for k, v in mine.items() if not k.startswith("null.")} == theirs


def test_the_null_by_autograd(make):
    learner = make(rule="half_batches")
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
    learner = make(rule="half_batches", observe_layers=True)
    kept = [p.detach().clone() for p in learner.network.parameters()]
    batch = next(learner.problem.batches(*_streams(learner)))
    learner.epoch()
    for p, value in zip(learner.network.parameters(), kept, strict=True):
        p.data.copy_(value)
    assert [row["step"] for row in learner.observed] == [0, 3]
    for i, own in enumerate(learner.layers.values()):
        rows = []
        for m in range(2):
            for loss in learner.problem.losses(learner.network, part(batch, m, 2)):
                grads = torch.autograd.grad(loss, own, retain_graph=True)
                rows.append(torch.cat([g.reshape(-1) for g in grads]).double())
        J = torch.nn.functional.normalize(torch.stack(rows), dim=1)
        C = J @ J.T
        row = learner.observed[0]
        assert row["null.same_task"][i] == pytest.approx(float(C[0, 2] + C[1, 3]) / 2, abs=1e-6)
        assert row["null.cross_task"][i] == pytest.approx(float(C[0, 3] + C[1, 2]) / 2, abs=1e-6)


def test_the_null_leaves_batch_statistics_alone(make):
    """BatchNorm's running mean must not see the extra forward passes."""
    network = {"name": "resnet", "width": 4}
    joint = make(settings={"network": network, "epochs": 1})
    null = make(rule="half_batches", settings={"network": network, "epochs": 1})
    assert joint.epoch() == null.epoch()
    for a, b in zip(joint.network.buffers(), null.network.buffers(), strict=True):
        assert torch.equal(a, b)


def _streams(learner):
    from gradsurgery.core.seeding import Generators

    fresh = Generators(learner.generators.seed)
    return fresh.order, fresh.augmentation
