"""Actor-critics that share less: which parameters a task's gradient reaches, and rows of one task in either shape."""

import pytest
import torch

from gradsurgery.core.discovery import build

K, O, A = 3, 5, 2


def made(variant):
    torch.manual_seed(0)
    return build(
        "networks", "task_actor_critic", num_tasks=K, observations=O, actions=A, width=8, depth=2, variant=variant
    )


def reached(network, k):
    """Rows of a task's parameters, or whole ones, that its own loss moves: names, and the tasks of a layer of tasks."""
    network.zero_grad()
    inputs = network.told(torch.randn(K, 4, O))
    actions, density = network.policy(inputs[k], torch.randn(4, A))
    (network.values(inputs[k], actions).sum() + density.sum()).backward()
    found = {}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None and len(parameter) == K and "encoder" not in name and name != "log_alpha":
            found[name] = {t for t in range(K) if parameter.grad[t].any()}
    return found


@pytest.mark.parametrize(("variant", "layers"), [("heads", 1), ("encoder", 0), ("separate", 3)])
def test_a_task_moves_its_own_layers_and_no_other_tasks(variant, layers):
    network = made(variant)
    for k in range(K):
        found = reached(network, k)
        assert len(found) == 2 * 3 * layers  # weight and bias, of the policy and two values
        assert all(tasks == {k} for tasks in found.values())


@pytest.mark.parametrize("variant", ["heads", "encoder", "separate"])
def test_all_tasks_at_once_are_each_by_itself(variant):
    network, seen, noise = made(variant), torch.randn(K, 4, O), torch.randn(K, 4, A)
    inputs = network.told(seen)
    actions, density = network.policy(inputs, noise)
    slow = network.slow_value(inputs, actions)
    for k in range(K):
        own, own_density = network.policy(inputs[k], noise[k])
        torch.testing.assert_close(own, actions[k])
        torch.testing.assert_close(own_density, density[k])
        torch.testing.assert_close(network.slow_value(inputs[k], own), slow[k])
    assert [action.shape for action in network(seen)] == [(4, A)] * K


@pytest.mark.parametrize("variant", ["heads", "encoder", "separate"])
def test_the_slow_copies_start_equal_and_follow(variant):
    network = made(variant)
    pairs = list(zip(network.critics.parameters(), network.targets.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not any(b.requires_grad for _, b in pairs)
    with torch.no_grad():
        pairs[0][0].add_(1.0)
    network.follow(0.5)
    torch.testing.assert_close(pairs[0][0] - 0.5, pairs[0][1])
    listed = {id(p) for p in network.shared_parameters()}
    assert listed == {id(p) for p in (*network.actor.parameters(), *network.critics.parameters())}
