"""Policy and values: densities against torch's own distributions, sizes, and what the slow copies do."""

import pytest
import torch
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from gradsurgery.core.discovery import build


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build("networks", "actor_critic", num_tasks=3, observations=5, actions=2, width=16, depth=2)


def test_actions_have_the_density_that_torch_gives_them(network):
    inputs = network.told(torch.randn(3, 7, 5))
    noise = torch.randn(3, 7, 2)
    actions, density = network.policy(inputs, noise)
    means, log_std = network.actor(inputs).chunk(2, dim=-1)
    normal = Independent(Normal(means, log_std.clamp(-20.0, 2.0).exp()), 1)
    theirs = TransformedDistribution(normal, [TanhTransform(cache_size=1)])
    torch.testing.assert_close(actions, (means + log_std.exp() * noise).tanh())
    torch.testing.assert_close(density, theirs.log_prob(actions), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(torch.stack(network(inputs[..., :5])), means.tanh())


def test_densities_are_finite_where_the_action_is_at_its_bound(network):
    with torch.no_grad():
        network.actor[-1].bias += 60.0
    actions, density = network.policy(network.told(torch.randn(3, 7, 5)), torch.randn(3, 7, 2))
    assert (actions == 1.0).any()
    assert density.isfinite().all()


def test_every_task_is_told_which_it_is(network):
    told = network.told(torch.zeros(3, 4, 5))
    assert torch.equal(told[:, 0, 5:], torch.eye(3))
    first, second, _ = network(torch.zeros(3, 4, 5))
    assert not torch.allclose(first, second)


def test_the_slow_copies_start_as_the_values_follow_them_and_get_no_gradient(network):
    inputs, actions = network.told(torch.randn(3, 4, 5)), torch.rand(3, 4, 2)
    torch.testing.assert_close(network.slow_value(inputs, actions), network.values(inputs, actions).amin(dim=0))
    with torch.no_grad():
        for parameter in network.critics.parameters():
            parameter += 1.0
    before = [p.clone() for p in network.targets.parameters()]
    network.follow(0.25)
    for old, new in zip(before, network.targets.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)
        assert not new.requires_grad
    one, two = network.values(inputs, actions)
    assert not torch.allclose(one, two)
    assert {id(p) for p in network.targets.parameters()}.isdisjoint({id(p) for p in network.shared_parameters()})


def test_the_published_size():
    network = build("networks", "actor_critic", num_tasks=10, observations=39, actions=4)
    actor = 50 * 400 + 2 * 401 * 400 + 401 * 8
    critic = 54 * 400 + 2 * 401 * 400 + 401
    assert sum(p.numel() for p in network.shared_parameters()) == actor + 2 * critic


def test_temperatures_begin_where_they_are_said_to():
    fields = {"num_tasks": 2, "observations": 3, "actions": 1}
    assert build("networks", "actor_critic", **fields).log_alpha.tolist() == [0.0, 0.0]
    found = build("networks", "actor_critic", **fields, temperature=0.1).log_alpha.exp()
    torch.testing.assert_close(found, torch.full((2,), 0.1))
    with pytest.raises(ValueError, match=r"`temperature` must be positive, found temperature = -1\.0"):
        build("networks", "actor_critic", **fields, temperature=-1.0)


@pytest.mark.parametrize("field", ["num_tasks", "observations", "actions", "width", "depth"])
def test_sizes_are_checked(field):
    fields = {"num_tasks": 2, "observations": 3, "actions": 1, field: 0}
    with pytest.raises(ValueError, match=f"`{field}` must be at least 1, found {field} = 0"):
        build("networks", "actor_critic", **fields)
