"""Shared-bottom to Split-MMoE: their equations, who trains what, and their sizes."""

import pytest
import torch
from torch.nn.functional import mish

from gradsurgery.core.discovery import build

VARIANTS = ("shared_bottom", "mmoe", "omoe", "ple", "split")
FIELDS = [
    *[{"variant": v} for v in VARIANTS], {"variant": "ple", "levels": 2}, {"variant": "ple", "levels": 3, "experts": 7},
    {"variant": "split", "dedicated": 2}, {"variant": "split", "personal": (0, 2)},
    {"variant": "split", "mix": "probability"},
]  # fmt: skip


def make(seed=0, **fields):
    torch.manual_seed(seed)
    fields = {"cardinalities": (3, 5, 4), "num_continuous": 2, "width": 6, "tower": 5, "embedding": 3} | fields
    return build("networks", "recommender", **fields)


def table(n=16, seed=0):
    g = torch.Generator().manual_seed(seed)
    numbers = torch.randn(n, 2, generator=g)
    categories = [torch.randint(high, (n, 1), generator=g).float() for high in (3, 5, 4)]
    return torch.cat([numbers, *categories], dim=1)


def size(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("tasks", [2, 3])
def test_one_logit_per_task(fields, tasks):
    outputs = make(num_tasks=tasks, **fields)(table())
    assert [output.shape for output in outputs] == [(16,)] * tasks
    assert all(torch.isfinite(output).all() for output in outputs)


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("tasks", [2, 3])
def test_shared_parameters_are_those_that_every_task_trains(fields, tasks):
    network = make(num_tasks=tasks, **fields)
    reached = []
    for k in range(tasks):
        network.zero_grad()
        network(table())[k].square().sum().backward()
        reached.append({id(p) for p in network.parameters() if p.grad is not None and p.grad.abs().sum() > 0})
    trained_by_several = {i for a in range(tasks) for b in range(a) for i in reached[a] & reached[b]}
    shared = {id(p) for p in network.shared_parameters()}
    assert shared == trained_by_several == set.intersection(*reached)
    assert set.union(*reached) == {id(p) for p in network.parameters()}


def test_split_has_structural_zeros():
    network = make(variant="split")
    own, lent, other = network.towers
    first_gate, shared_gate = network.body.gates
    z1, z2 = network(table())
    for modules, z in (((own, lent, first_gate), z2), ((other,), z1)):
        for module in modules:
            found = torch.autograd.grad(z.sum(), list(module.parameters()), retain_graph=True, allow_unused=True)
            assert all(g is None for g in found)
    assert torch.autograd.grad(z1.sum(), shared_gate.weight)[0].abs().sum() > 0
    network.mu.copy_(torch.tensor([1.0, 0.0]))
    z1 = network(table())[0]
    assert not torch.autograd.grad(z1.sum(), shared_gate.weight, retain_graph=True)[0].any()
    assert not torch.autograd.grad(z1.sum(), lent[0].weight)[0].any()


def _copy(split, other, towers):
    other.embedding.load_state_dict(split.embedding.state_dict())
    other.body.experts.load_state_dict(split.body.experts.state_dict())
    for tower, source in zip(other.towers, towers, strict=True):
        tower.load_state_dict(split.towers[source].state_dict())


def test_split_with_all_weight_on_its_own_tower_is_mmoe():
    split, mmoe = make(variant="split"), make(seed=1, variant="mmoe", equal_capacity=False)
    _copy(split, mmoe, (0, 2))
    mmoe.body.gates.load_state_dict(split.body.gates.state_dict())
    split.mu.copy_(torch.tensor([1.0, 0.0]))
    assert all(torch.equal(a, b) for a, b in zip(split(table()), mmoe(table()), strict=True))


def test_split_with_all_weight_on_the_lent_tower_is_omoe():
    split, omoe = make(variant="split"), make(seed=1, variant="omoe", equal_capacity=False)
    _copy(split, omoe, (1, 2))
    omoe.body.gates[0].load_state_dict(split.body.gates[1].state_dict())
    split.mu.copy_(torch.tensor([0.0, 1.0]))
    assert all(torch.equal(a, b) for a, b in zip(split(table()), omoe(table()), strict=True))


def test_mmoe_is_its_equation():
    network, x = make(variant="mmoe", equal_capacity=False), table()
    embedded = [network.embedding.weight[[0, 3, 8][j] + x[:, 2 + j].long()] for j in range(3)]
    features = torch.cat([x[:, :2], *embedded], dim=1)
    weight, bias = network.body.experts.layer.weight.split(6), network.body.experts.layer.bias.split(6)
    experts = [mish(features @ W.T + b) for W, b in zip(weight, bias, strict=True)]
    for k, output in enumerate(network(x)):
        gate = torch.softmax(features @ network.body.gates[k].weight.T, dim=1)
        v = sum(gate[:, i, None] * e for i, e in enumerate(experts))
        torch.testing.assert_close(output, network.towers[k](v)[:, 0])


def test_ple_is_its_equation():
    network, x = make(variant="ple", levels=2, experts=4), torch.cat([table()[:, :2], table()[:, 2:]], dim=1)
    body = network.body
    tasks, shared = [network._encode(x)[0]] * 2, network._encode(x)[0]
    for level in range(2):
        own = [mish(body.own[2 * level + k].layer(tasks[k])) for k in range(2)]
        common = mish(body.common[level].layer(shared)).chunk(2, dim=1)
        for k in range(2):
            g = torch.softmax(body.gates[2 * level + k](tasks[k]), dim=1)
            tasks[k] = sum(g[:, i, None] * e for i, e in enumerate((own[k], *common)))
        if level == 0:
            g = torch.softmax(body.common_gates[0](shared), dim=1)
            shared = sum(g[:, i, None] * e for i, e in enumerate((*own, *common)))
    for k, output in enumerate(network(x)):
        torch.testing.assert_close(output, network.towers[k](tasks[k])[:, 0])


def test_ppnet_with_zero_weights_changes_nothing_and_gates_the_shared_mix_alone():
    with_gate, without = make(variant="split", personal=(1,)), make(variant="split")
    without.load_state_dict({k: v for k, v in with_gate.state_dict().items() if not k.startswith("gate.")})
    x = table()
    torch.nn.init.zeros_(with_gate.gate.weight)
    assert all(torch.equal(a, b) for a, b in zip(with_gate(x), without(x), strict=True))
    torch.nn.init.constant_(with_gate.gate.weight, 0.7)
    with_gate.mu.copy_(torch.tensor([1.0, 0.0]))
    without.mu.copy_(torch.tensor([1.0, 0.0]))
    (a1, a2), (b1, b2) = with_gate(x), without(x)
    assert torch.equal(a1, b1)
    assert not torch.equal(a2, b2)
    v = without.body(without._encode(x)[0])[1]
    factor = 2 * torch.sigmoid(0.7 * without._encode(x)[1][:, 1].sum(dim=1, keepdim=True))
    torch.testing.assert_close(a2, without.towers[2](v * factor)[:, 0])
    a2.sum().backward()
    assert with_gate.gate.weight.grad.abs().sum() > 0


def test_mixing_probabilities_is_the_logit_of_the_mixture():
    logit, probability = make(variant="split"), make(variant="split", mix="probability")
    for network in (logit, probability):
        network.mu.copy_(torch.tensor([0.3, 0.7]))
    v, w = logit.body(logit._encode(table())[0])
    own, lent = logit.towers[0](v)[:, 0], logit.towers[1](w)[:, 0]
    torch.testing.assert_close(logit(table())[0], 0.3 * own + 0.7 * lent)
    torch.testing.assert_close(
        probability(table())[0].sigmoid(), 0.3 * own.sigmoid() + 0.7 * lent.sigmoid(), rtol=1e-5, atol=1e-6
    )
    probability.mu.copy_(torch.tensor([1.0, 0.0]))  # the logarithm of 0 must not reach the output
    torch.testing.assert_close(probability(table())[0], own, rtol=1e-5, atol=1e-5)


def test_mu_is_state_and_no_parameter():
    network = make(variant="split")
    assert "mu" in network.state_dict()
    assert network.mu.tolist() == [0.5, 0.5]
    assert all(p is not network.mu for p in network.parameters())
    network(table())[0].sum().backward()
    assert network.mu.grad is None


@pytest.mark.parametrize("fields", [f for f in FIELDS if f["variant"] != "split"])
def test_equal_capacity_holds_to_one_unit_of_width(fields):
    real = {"cardinalities": (10,) * 32, "num_continuous": 7, "width": 128, "tower": 64, "embedding": 8}
    wanted = size(make(**real, variant="split", experts=fields.get("experts", 4)))
    assert size(make(**real, **fields)) == pytest.approx(wanted, rel=0.01)
    assert size(make(**real, **fields, equal_capacity=False)) != pytest.approx(wanted, rel=0.03)


def test_capacity_may_be_that_of_a_split_with_more_experts():
    real = {"cardinalities": (10,) * 32, "num_continuous": 7, "width": 32, "tower": 32, "embedding": 4}
    network = make(**real, variant="ple", levels=2, experts=3, capacity_experts=4)
    assert len(network.body.own) == 4  # one expert a task at each of two levels
    assert [experts.n for experts in (*network.body.own, *network.body.common)] == [1] * 6
    assert size(network) == pytest.approx(size(make(**real, variant="split")), rel=0.02)
    assert size(network) > 1.1 * size(make(**real, variant="ple", levels=2, experts=3))


def test_an_embedding_is_looked_up_at_its_columns_offset():
    network = make()
    inputs = table()
    _, embedded = network._encode(inputs)
    expected = network.embedding(inputs[:, 2:].long() + torch.tensor([0, 3, 8]))
    assert torch.equal(embedded, expected)
    weight = network.embedding.weight
    ours, torchs = (torch.autograd.grad(e.square().sum(), weight)[0] for e in (embedded, expected))
    torch.testing.assert_close(ours, torchs)


def test_dedicated_experts_are_seen_by_the_first_gate_alone():
    network = make(variant="split", dedicated=2)
    assert [gate.out_features for gate in network.body.gates] == [6, 4]
    z2 = network(table())[1]
    weight = network.body.dedicated.layer.weight
    assert torch.autograd.grad(z2.sum(), weight, allow_unused=True) == (None,)


def test_tied_towers_start_equal():
    network = make(variant="split", tie_init=True)
    first = network.towers[0].state_dict()
    for tower in network.towers[1:]:
        assert all(torch.equal(first[name], value) for name, value in tower.state_dict().items())
        assert all(a is not b for a, b in zip(tower.parameters(), network.towers[0].parameters(), strict=True))


def test_numbers_alone_and_categories_alone():
    assert len(make(cardinalities=(), num_continuous=4)(torch.randn(3, 4))) == 2
    assert len(make(cardinalities=(2, 2), num_continuous=0)(torch.ones(3, 2))) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"variant": "ple", "experts": 2}, "`experts` must be at least 3 for variant = 'ple', found experts = 2"),
        ({"variant": "split", "num_tasks": 1}, "`num_tasks` must be at least 2 for variant = 'split'"),
        ({"width": 0}, "`width` must be at least 1 for variant = 'mmoe', found width = 0"),
        ({"levels": 2}, "`levels` must be 1 unless variant = 'ple', found levels = 2"),
        ({"dedicated": 1}, "`dedicated` must be left out unless variant = 'split', found variant = 'mmoe'"),
        ({"mix": "probability"}, "`mix` must be left out unless variant = 'split'"),
        ({"variant": "split", "personal": (3,)}, r"`personal` must hold places below 3, .*, found \(3,\)"),
        ({"cardinalities": (), "num_continuous": 0}, "`cardinalities` must name a category"),
        ({"variant": "tree"}, "`recommender.variant` must be one of"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        make(**fields)
