"""Layers of a network and their conflict scores: the paper's definitions, by hand."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build
from gradsurgery.core import discovery
from gradsurgery.core.jacobian import gram
from gradsurgery.core.layers import (
    as_evidence,
    conflict_counts,
    layer_grams,
    pair_cosines,
    ranked,
    shared_layers,
)  # fmt: skip

THIRD = [[1.0, 0.0], [-1.0, 0.0], [-0.05, 1.0]]


def _grams(*rows):
    J = np.array(rows)
    return (J @ J.T)[None]


def _scores(rows, thresholds):
    return conflict_counts(pair_cosines(_grams(*rows)), thresholds)[0].tolist()


def _engine(network, losses):
    engine = GradientSurgery(network.shared_parameters(), build("pcgrad"))
    engine.backward(losses)
    return engine


def test_resnet_has_41_layers_weight_and_bias_together():
    layers = shared_layers(discovery.build("networks", "resnet", width=2))
    assert len(layers) == 41
    assert list(layers)[:4] == ["trunk.0", "trunk.1", "trunk.4.branch.0", "trunk.4.branch.1"]
    assert [len(own) for own in layers.values()][:2] == [1, 2]
    assert not any(name.startswith("heads") for name in layers)


def test_every_shared_parameter_is_in_exactly_one_layer():
    for name, fields in (("lenet", {}), ("lenet", {"variant": "cagrad"}), ("resnet", {"width": 2}), ("mlp", {})):
        network = discovery.build("networks", name, **fields)
        inside = [id(p) for own in shared_layers(network).values() for p in own]
        assert inside == [id(p) for p in network.shared_parameters()]


def test_a_layer_with_a_parameter_of_one_task_is_no_shared_layer():
    network = discovery.build("networks", "mlp", in_features=3, hidden=(2, 2))
    shared = network.shared_parameters()
    network.shared_parameters = lambda: shared[1:]
    assert list(shared_layers(network)) == ["trunk.3"]


def test_cosines_of_the_worked_example():
    cosines = pair_cosines(_grams(*THIRD))[0]
    np.testing.assert_allclose(cosines, [-1.0, -0.04994, 0.04994], atol=1e-5)


def test_scores_of_the_worked_example():
    assert _scores(THIRD, [0.0, -0.02, -0.1]) == [2, 2, 1]


def test_a_zero_gradient_never_conflicts():
    assert _scores([*THIRD[:2], [0.0, 0.0]], [0.0, -0.02]) == [1, 1]


def test_a_cosine_equal_to_the_threshold_is_no_conflict():
    rows = [[1.0, 0.0], [-0.6, 0.8]]
    assert pair_cosines(_grams(*rows)).tolist() == [[-0.6]]
    assert _scores(rows, [-0.6, np.nextafter(-0.6, 0.0)]) == [0, 1]
    assert _scores([[1.0, 0.0], [0.0, 1.0]], [0.0]) == [0]


def test_norms_below_the_shortest_shrink_the_cosine():
    np.testing.assert_allclose(pair_cosines(_grams([1e-13, 0.0], [-1.0, 0.0])), [[-0.1]], rtol=1e-12)


def test_weight_and_bias_are_one_vector():
    """The weights agree, the biases do not, and (1 - 4) / 5 = -0.6 counts once."""
    network = discovery.build("networks", "mlp", in_features=1, hidden=(1,))
    weight, bias = network.shared_parameters()
    engine = _engine(network, [(weight - 2 * bias).sum(), (weight + 2 * bias).sum()])
    G = layer_grams(engine.jacobian, engine.parameters, shared_layers(network))
    np.testing.assert_allclose(pair_cosines(G), [[-0.6]], rtol=1e-6)
    assert conflict_counts(pair_cosines(G), [0.0, -0.59]).tolist() == [[1, 1]]


@pytest.mark.parametrize("K", [2, 5])
def test_grams_are_those_of_each_layers_own_gradient_and_add_up_to_the_whole(K):
    torch.manual_seed(0)
    network = discovery.build("networks", "lenet", num_tasks=K, variant="cagrad").double()
    outputs = network(torch.randn(6, 1, 36, 36, dtype=torch.float64))
    losses = [output.square().mean() for output in outputs]
    layers = shared_layers(network)
    rows = {
        name: torch.stack([
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, own, retain_graph=True)]) for loss in losses
        ])
        for name, own in layers.items()
    }  # fmt: skip
    engine = _engine(network, losses)
    G = layer_grams(engine.jacobian, engine.parameters, layers)
    for found, J in zip(G, rows.values(), strict=True):
        np.testing.assert_allclose(found, (J @ J.T).numpy(), rtol=1e-9, atol=1e-18)
    np.testing.assert_allclose(G.sum(0), gram(engine.jacobian), rtol=1e-9)


def test_any_order_of_the_columns_and_frozen_parameters():
    network = discovery.build("networks", "mlp", in_features=2, hidden=(3, 2))
    J = torch.randn(2, 3 * 2 + 3 + 2 * 3, dtype=torch.float64)
    w1, b1, w2, b2 = network.shared_parameters()
    layers = shared_layers(network)
    G = layer_grams(J, [w2, b1, w1], layers)
    first, second = J[:, 6:], J[:, :6]  # b2 is frozen: it has no columns
    np.testing.assert_allclose(G, torch.stack([first @ first.T, second @ second.T]).numpy(), rtol=1e-12)
    with pytest.raises(ValueError, match=r"`parameters` must hold J's 15 columns, found 17\."):
        layer_grams(J, [w1, b1, w2, b2], layers)


def test_counts_are_bounded_additive_monotone_and_blind_to_scale():
    rng = np.random.default_rng(0)
    thresholds = [-0.5, -0.2, -0.1, 0.0]
    J = rng.standard_normal((7, 4, 3))
    cosines = pair_cosines(J @ J.transpose(0, 2, 1))
    counts = conflict_counts(cosines, thresholds)
    assert counts.shape == (7, 4)
    assert counts.dtype == np.int64
    assert (np.diff(counts, axis=1) >= 0).all()
    assert counts.max() <= 6
    assert counts.sum() > 0
    scaled = J * np.array([1e-3, 1.0, 5.0, 1e4])[:, None]
    assert (conflict_counts(pair_cosines(scaled @ scaled.transpose(0, 2, 1)), thresholds) == counts).all()
    names = [f"layer{i}" for i in range(7)]
    twice = as_evidence(names, thresholds, [counts, counts])
    assert twice["scores"] == {name: (2 * row).tolist() for name, row in zip(names, counts, strict=True)}


def test_one_task_has_no_pairs():
    assert conflict_counts(pair_cosines(np.ones((3, 1, 1))), [0.0]).tolist() == [[0], [0], [0]]


def test_evidence_survives_json():
    made = as_evidence(["b", "a"], (0.0, -0.1), [np.array([[2, 1], [3, 0]])])
    assert made == {"thresholds": [0.0, -0.1], "scores": {"b": [2, 1], "a": [3, 0]}}
    assert json.loads(json.dumps(made)) == made
    assert as_evidence(["a"], (0.0,), [])["scores"] == {"a": [0]}


def test_ties_keep_the_order_of_registration_whatever_the_order_of_the_scores():
    assert ranked({"c": 1, "b": 5, "a": 1}, ["a", "b", "c"]) == ["b", "a", "c"]
    assert ranked({"a": 1, "b": 5, "c": 1}, ["c", "b", "a"]) == ["b", "c", "a"]


@pytest.mark.parametrize("S", [-1.0, 0.1, float("nan")])
def test_thresholds_are_checked(S):
    for call in (
        lambda: conflict_counts(np.zeros((1, 1)), [0.0, S]),
        lambda: as_evidence(["a"], [S], [np.zeros((1, 1), dtype=np.int64)]),
    ):
        with pytest.raises(ValueError, match="`thresholds` must lie above -1 and not above 0, found"):
            call()


def test_a_layer_is_a_module_without_children():
    network = discovery.build("networks", "mlp", in_features=2, hidden=(2,))
    network.trunk.append(nn.MultiheadAttention(2, 1))  # holds parameters of its own, and a layer
    assert list(shared_layers(network)) == ["trunk.1", "trunk.3.out_proj"]
