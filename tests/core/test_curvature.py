"""Curvature along a step, against Hessians that are known or that autograd writes out; looking changes no run."""

import json

import pytest
import torch
from torch import nn

from gradsurgery.core.curvature import curvature_shares


def test_the_shares_of_a_quadratic_are_those_of_its_matrix():
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    H = A + A.T
    first, second = (nn.Parameter(torch.randn(n, generator=generator, dtype=torch.float64)) for n in (2, 3))
    theta = torch.cat([first, second])
    d = torch.randn(5, generator=generator, dtype=torch.float64)
    whole, shares = curvature_shares(theta @ H @ theta / 2, [first, second], d, {"a": [first], "b": [second]})
    bend = d * (H @ d) / (d @ d)
    assert whole == pytest.approx(float(d @ H @ d / (d @ d)), rel=1e-12)
    assert shares == pytest.approx([float(bend[:2].sum()), float(bend[2:].sum())], rel=1e-12)


def test_a_networks_curvature_is_that_of_its_whole_hessian():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1)).double()
    network[0].weight.data = network[0].weight.data.to(memory_format=torch.channels_last)
    x, parameters = torch.randn(4, 2, 3, 3, dtype=torch.float64), list(network.parameters())
    plain = [p.detach().contiguous() for p in parameters]

    def loss(flat):
        start, parts = 0, {}
        for (name, _), p in zip(network.named_parameters(), plain, strict=True):
            parts[name], start = flat[start : start + p.numel()].view(p.shape), start + p.numel()
        return torch.func.functional_call(network, parts, (x,)).square().mean()

    flat = torch.cat([p.reshape(-1) for p in plain])
    H = torch.autograd.functional.hessian(loss, flat)
    d = torch.randn_like(flat)
    # the engine lays a channels_last weight out in the order of its memory
    weight = d[: plain[0].numel()].view(plain[0].shape).permute(0, 2, 3, 1).reshape(-1)
    in_memory = torch.cat([weight, d[plain[0].numel() :]])
    layers = {"conv": list(network[0].parameters()), "linear": list(network[3].parameters())}
    whole, shares = curvature_shares(network(x).square().mean(), parameters, in_memory, layers)
    assert whole == pytest.approx(float(d @ H @ d / (d @ d)), rel=1e-9)
    assert sum(shares) == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e12])
def test_the_length_of_the_direction_does_not_matter(scale):
    theta = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    d = scale * torch.tensor([1.0, 1.0], dtype=torch.float64)
    assert curvature_shares(theta.pow(3).sum(), [theta], d, {"all": [theta]})[0] == pytest.approx(9.0)


def test_nothing_bends_without_a_direction_or_without_a_second_derivative():
    theta, idle = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    layers = {"own": [theta], "idle": [idle]}
    assert curvature_shares(theta.square().sum(), [theta, idle], torch.zeros(5), layers) == (0.0, [0.0, 0.0])
    assert curvature_shares(theta.sum(), [theta, idle], torch.ones(5), layers) == (0.0, [0.0, 0.0])
    whole, shares = curvature_shares(theta.square().sum(), [theta, idle], torch.ones(5), layers)
    assert (whole, shares) == (pytest.approx(2 * 3 / 5), [pytest.approx(6 / 5), 0.0])


NORMALISED = {"network": {"name": "resnet", "width": 4}, "epochs": 2}  # BatchNorm's buffers are in the graph


@pytest.mark.parametrize(
    ("aggregator", "settings"), [("sum", {}), ("pcgrad", {}), ("gcond", {}), ("pcgrad", NORMALISED)]
)
def test_observing_changes_nothing_but_the_record(make, aggregator, settings):
    plain = make(aggregator, settings=settings, diagnose_every=2)
    observed = make(aggregator, settings=settings, diagnose_every=2, observe_layers=True)
    for learner in (plain, observed):
        learner.epoch()
        learner.epoch()
    assert all(
        torch.equal(a, b) for a, b in zip(plain.network.parameters(), observed.network.parameters(), strict=True)
    )
    assert all(torch.equal(a, b) for a, b in zip(plain.network.buffers(), observed.network.buffers(), strict=True))
    assert observed.epochs == plain.epochs
    assert plain.instruments.rows == []
    rows = [{k: v for k, v in row.items() if k != "curvature"} for row in observed.diagnostics]
    assert rows == plain.diagnostics
    assert [row["step"] for row in observed.instruments.rows] == [row["step"] for row in plain.diagnostics]
    json.dumps(observed.instruments.rows)  # plain numbers
    for row, whole in zip(observed.instruments.rows, observed.diagnostics, strict=True):
        lengths = {len(row[key]) for key in ("mean_cosine", "magnitude_similarity", "curvature")}
        assert lengths == {len(observed.instruments.layers)}
        assert whole["curvature"] != 0.0
        assert sum(row["curvature"]) == pytest.approx(whole["curvature"], rel=1e-6)  # all shared parameters have layers


def test_the_option_must_be_a_truth_value(make):
    with pytest.raises(ValueError, match=r"`learner.observe_layers` must be true or false, found 1\."):
        make("sum", observe_layers=1)
