"""Heads that never train: the angle between them, and what it leaves alone."""

import pytest
import torch

from gradsurgery.core.discovery import build

CASES = [(2, 0.5), (2, 0.0), (2, -0.95), (2, -1.0), (2, 1.0), (3, -0.5), (4, -0.3), (4, 0.5)]


def _network(k=2, cosine=0.0, seed=0, **fields):
    torch.manual_seed(seed)
    return build("networks", "fixed_heads", num_tasks=k, cosine=cosine, features=40, width=2, **fields)


@pytest.mark.parametrize(("k", "cosine"), CASES)
def test_every_head_is_orthonormal_and_every_two_meet_at_the_angle(k, cosine):
    heads = _network(k, cosine).heads
    assert heads.shape == (k, 10, 40)
    for i in range(k):
        for j in range(k):
            wanted = torch.eye(10) * (1.0 if i == j else cosine)
            torch.testing.assert_close(heads[i] @ heads[j].T, wanted, rtol=0, atol=1e-5)


def test_heads_add_up_to_nothing_at_the_least_cosine_and_are_one_at_the_largest():
    torch.testing.assert_close(_network(4, -1.0 / 3.0).heads.sum(dim=0), torch.zeros(10, 40), rtol=0, atol=1e-5)
    one = _network(4, 1.0).heads
    torch.testing.assert_close(one[1:], one[:1].expand(3, 10, 40), rtol=0, atol=1e-5)


def test_only_the_trunk_trains_and_starts_alike_at_every_angle():
    first, other = _network(cosine=0.5), _network(cosine=-0.95)
    assert first.shared_parameters() == list(first.parameters())
    assert not any("heads" in name for name, _ in first.named_parameters())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    assert not torch.equal(first.heads, _network(cosine=0.5, seed=1).heads)


def test_an_output_is_the_features_through_its_head():
    network = _network(3, -0.2)
    x = torch.randn(5, 1, 28, 28)
    outputs = network(x)
    assert [output.shape for output in outputs] == [(5, 10)] * 3
    torch.testing.assert_close(outputs[2], network.trunk(x) @ network.heads[2].T)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cosine": -0.6, "num_tasks": 3}, "`cosine` must be from -0.5 to 1 with these tasks, found cosine = -0.6"),
        ({"cosine": 1.1}, "`cosine` must be from -1 to 1 with these tasks, found cosine = 1.1"),
        ({"num_tasks": 4}, "`features` must be at least 40 with these tasks and classes, found features = 32"),
        ({"size": 6}, "`size` must be at least 7, found size = 6"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        build("networks", "fixed_heads", **fields)
