"""The rule and the balancer behind a control: parts of batches, permuted tasks."""

import pytest
import torch

from gradsurgery.rules.split_batches import SplitBatches, part
from tests.contracts import generator


def parameters(learner):
    return torch.cat([p.detach().reshape(-1) for p in learner.network.parameters()])


@pytest.mark.parametrize("aggregator", ["sum", "pcgrad"])
def test_parts_alone_change_nothing(make, aggregator):
    joint, split = make(aggregator), make(aggregator, rule="split_batches")
    a, b = joint.epoch(), split.epoch()
    assert joint.step_count == split.step_count
    torch.testing.assert_close(parameters(joint), parameters(split), rtol=1e-4, atol=1e-6)
    assert a["train.left.loss"] == pytest.approx(b["train.left.loss"], rel=1e-5)


def test_permuted_tasks_leave_the_sum_as_it_is(make):
    """The rows' sum and the heads' gradients are those of training on the sum; only what is called a task differs."""
    plain, permuted = make("sum"), make("sum", "placebo_permuted", "split_batches")
    a, b = plain.epoch(), permuted.epoch()
    torch.testing.assert_close(parameters(plain), parameters(permuted), rtol=1e-4, atol=1e-6)
    assert a["train.left.loss"] == pytest.approx(b["train.left.loss"], rel=1e-5)  # the true tasks' losses are logged


def test_rows_are_the_mixtures_of_the_formula(make):
    """Row p of J is (1/K) sum_m grad L_{(p - m) mod K}(part m), by autograd on the parts."""
    learner = make("pcgrad", "placebo_permuted", "split_batches")
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
    plain, permuted = make("pcgrad"), make("pcgrad", "placebo_permuted", "split_batches")
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


def test_there_are_as_many_parts_as_tasks_and_none_is_lost(make):
    steps, learner = [], make(rule="split_batches")
    learner.problem.tasks, learner.step = ("a", "b", "c"), lambda *parts: steps.append(parts)
    list(SplitBatches().epoch(learner, iter([torch.arange(8)])))
    assert [[part.tolist() for part in step] for step in steps] == [[[0, 1, 2], [3, 4, 5], [6, 7]]]
