"""Layers, curvature and nulls on made-up histories: words follow the numbers, and silence where nothing was seen."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from gradsurgery.evidence.history import parse
from gradsurgery.evidence.observed import (
    CURVATURE,
    conflicting,
    excess,
    layers,
    observing,
    over_training,
    principal,
    random_sd,
    trained,
    values,
)
from tests.observing import See


def test_only_lines_that_recorded_layers_are_used(see: See, made_up: Callable[..., dict]) -> None:
    runs = see({"sum": 0.0, "sum-half_batches": 0.0})
    runs["pcgrad"] = parse([json.dumps(made_up("p", "pcgrad", 0, 0.0))], "pcgrad")
    assert list(observing(runs)) == ["sum", "sum-half_batches"]
    assert list(trained(observing(runs))) == ["sum"]
    assert principal(observing(runs)) == "sum-half_batches"
    assert principal(see({"pcgrad": 0.0, "sum": 0.0})) == "sum"


def test_parts_of_training_are_means_of_neighbouring_steps(see: See) -> None:
    group = see({"sum": 0.0}, seeds=2)["sum"]
    means = over_training(group, lambda run: values(run, CURVATURE), 3)
    assert means.shape == (2, 3, 3)
    assert means[0, :, 0] == pytest.approx(np.array([2.0, 5.0, 8.0]) / 6)
    assert over_training(group, lambda run: values(run, CURVATURE), 50).shape == (2, 9, 3)


@pytest.mark.parametrize("K", [2, 4])
def test_the_null_of_random_directions_is_that_of_random_directions(see: See, K: int) -> None:
    run = see({"sum": 0.0}, 1, sizes=[40], edit=lambda record: record.update(tasks=[f"t{k}" for k in range(K)]))["sum"][
        0
    ]
    g = np.random.default_rng(0).standard_normal((20_000, K, 40))
    g /= np.linalg.norm(g, axis=2, keepdims=True)
    cosines = np.einsum("skp,slp->skl", g, g)[:, *np.triu_indices(K, k=1)].mean(axis=1)
    assert random_sd(run)[0] == pytest.approx(cosines.std(), rel=0.02)


def test_a_layer_conflicts_where_tasks_agree_less_than_halves_of_one_task(see: See) -> None:
    found = layers(see({"sum-half_batches": 0.0}, null=-0.1)["sum-half_batches"])
    assert conflicting(found) == ["layer1", "layer2"]
    assert found[2].tested.difference.mean == pytest.approx(-0.2, abs=0.02)
    more = see({"sum-half_batches": 0.0}, null=0.1)["sum-half_batches"]
    assert conflicting(layers(more)) == []
    assert excess(more[0])[:, 2].mean() == pytest.approx(0.2, abs=0.02)


def test_without_halves_the_cosine_itself_is_held_against_zero(see: See) -> None:
    found = layers(see({"sum": -0.3})["sum"])
    assert conflicting(found) == ["layer0", "layer1", "layer2"]
    assert [layer.below.mean for layer in found] == [1.0, 1.0, 1.0], "2 sd are 0.2, 0.04 and 0.1"
    assert [layer.below.mean for layer in layers(see({"sum": -0.15})["sum"])] == [0.0, 1.0, 1.0]
    assert (found[0].first.mean, found[0].last.mean) == pytest.approx((2 / 6, 8 / 6))
