"""What the parts of a run did: by hand for each of them, the same after a kill, and without a bit of the run moved."""

import io
import json

import numpy as np
import pytest
import torch

from gradsurgery.core.activity import Activity, of_points, of_split, of_weights, turned
from gradsurgery.core.conflict import deviation
from gradsurgery.core.discovery import available, build
from gradsurgery.core.seeding import philox
from tests.core.test_learner import BALANCERS


def test_means_leave_out_what_is_not_finite_and_survive_a_kill():
    straight, killed = Activity(), Activity()
    for own in (straight, killed):
        own.note({"a": 1.0, "b": float("nan")})
    resumed = Activity()
    resumed.load_state_dict(json.loads(json.dumps(killed.state_dict())))
    for own in (straight, resumed):
        own.note({"a": 0.0, "b": 3.0})
    assert straight.means() == resumed.means() == {"a": 0.5, "b": 3.0}


def test_a_direction_is_told_from_that_of_the_sum():
    J = np.random.default_rng(0).standard_normal((3, 7))
    G = J @ J.T
    for c in (1.0, 1 / 3, 7.0):
        assert turned(G, np.full(3, c)) < 1e-12
    w = np.array([1.0, 0.4, 2.0])
    d, mean = w @ J, J.mean(axis=0)
    by_hand = np.linalg.norm(d * np.linalg.norm(mean) / np.linalg.norm(d) - mean) / np.linalg.norm(mean)
    assert turned(G, w) == pytest.approx(by_hand)
    assert turned(G, w) == pytest.approx(deviation(G, G @ w, np.linalg.norm(d)))
    assert turned(G, np.array([1.0, 1.0, 1.0 + 1e-5])) > 1e-6, "not lost in the rounding of cosines"
    assert turned(G, np.zeros(3)) == 1.0
    assert turned(np.zeros((3, 3)), w) == 0.0


def activity(learner, epochs=2):
    for _ in range(epochs):
        learner.epoch()
    return learner.instruments.activity.means()


@pytest.mark.parametrize("method", ["sum", "mean"])
def test_plain_sums_report_nothing(make, method):
    assert activity(make(method)) == {}


def test_every_step_of_a_weighting_is_looked_at(make):
    learner = make("mgda", diagnose_every=100)
    found = activity(learner)
    assert found["share_changed"] == 1.0
    assert found["deviation"] > learner.diagnostics[0]["deviation"] / 100
    assert learner.instruments.activity._counts["share_changed"] == learner.step_count == 8


def test_a_weighting_that_changes_nothing_says_so(make, monkeypatch):
    """PCGrad without a conflict returns the sum."""
    learner = make("pcgrad")
    monkeypatch.setattr(type(learner.method), "__call__", lambda self, G, state, generator: (np.ones(len(G)), {}))
    assert activity(learner)["share_changed"] == 0.0


def test_an_aggregator_is_looked_at_where_it_is_diagnosed(make):
    learner = make("sam_gs")
    found = activity(learner)
    assert learner.instruments.activity._counts["share_changed"] == len(learner.diagnostics)
    assert found["deviation"] == pytest.approx(np.mean([row["deviation"] for row in learner.diagnostics]))
    assert found["share_changed"] == np.mean([row["deviation"] > 1e-3 for row in learner.diagnostics])


@pytest.mark.parametrize(("thresholds", "share"), [([-1.0, -1.0, -1.0], 0.0), ([-0.8, 0.5, 1.0], 1.0)])
def test_gcond_acts_where_it_resolves_and_not_where_it_smooths(make, thresholds, share):
    found = activity(make({"name": "gcond", "thresholds": thresholds}))
    assert "share_changed" not in found
    assert found["share_resolved"] == share
    assert found["deviation"] > 1e-3, "the mean of the last steps is not the mean of this one"


@pytest.mark.parametrize("name", sorted(set(available("balancers")) - {"equal"}))
def test_the_weights_of_every_balancer(name):
    """Slopes of its balanced losses, without a draw and without a change of its state."""
    fields = {key: value for key, value in BALANCERS[name].items() if key != "name"}
    balancer = build("balancers", name, **fields)
    losses = [torch.tensor(value, requires_grad=True) for value in (0.5, 2.0)]
    parameters = {key: torch.nn.Parameter(value.detach()) for key, value in balancer.parameters(2).items()}
    generator, again = philox(0, "x"), philox(0, "x")
    found = of_weights(balancer, losses, parameters, None, generator)
    assert generator.bit_generator.state["state"]["counter"].tolist() == [0, 0, 0, 0]
    balanced = balancer(losses, parameters, None, again)[0]
    sum(loss for loss in balanced if loss is not None).backward()
    slopes = np.array([0.0 if loss.grad is None else float(loss.grad) for loss in losses])
    assert found["weight_spread"] == pytest.approx(np.abs(slopes / slopes.mean() - 1.0).mean())
    assert all(parameter.grad is not None or not balancer.parameters(2) for parameter in parameters.values())


def test_static_weights_by_hand(make):
    """1 and 3 have mean 2: each is half of it away."""
    assert activity(make("sum", BALANCERS["static"]))["weight_spread"] == pytest.approx(0.5)


def test_absent_losses_have_no_weight():
    static, there = build("balancers", "static", weights=[1.0, 3.0, 9.0]), torch.tensor(1.0)
    found = of_weights(static, [there, None, there], {}, None, philox(0, "x"))
    assert found["weight_spread"] == pytest.approx(0.8)
    assert of_weights(build("balancers", "static", weights=[1.0, 3.0]), [None, None], {}, None, philox(0, "x")) == {}


def test_what_a_transform_has_split():
    network = build("networks", "mlp", hidden=[16, 8])
    assert of_split(network, network) == {}
    other = build("networks", "mlp", hidden=[16])
    sizes = [sum(p.numel() for p in own.shared_parameters()) for own in (network, other)]
    assert of_split(network, other) == {
        "layers_split": 0.5, "parameters_split": pytest.approx(1 - sizes[1] / sizes[0]),
    }  # fmt: skip


def test_points_of_a_landscape():
    J = np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [-1.0, 0.0]]])
    D = np.array([[3.0, 3.0], [1.0, 0.0], [0.0, 1.0]])  # the third has no sum to be compared with
    found = of_points(build("aggregators", "pcgrad"), J, D, [None] * 3)
    assert found["share_changed"] == 0.5
    assert found["deviation"] == pytest.approx(np.sqrt(2 - 2**0.5) / 2)
    assert of_points(build("aggregators", "sum"), J, D, [None] * 3) == {}
    own = of_points(build("aggregators", "gcond"), J, D, [{"resolutions": 1.0}, None, None])
    assert own == {"deviation": found["deviation"], "share_resolved": pytest.approx(1 / 3)}


@pytest.mark.parametrize("aggregator", ["pcgrad", "gcond", "sam_gs"])
def test_a_killed_run_has_the_activity_of_an_uninterrupted_one(make, aggregator):
    slots = (aggregator, {"name": "random_weights"})
    straight, killed, resumed = make(*slots), make(*slots), make(*slots)
    killed.epoch()
    buffer = io.BytesIO()
    torch.save(killed.state_dict(), buffer)
    resumed.load_state_dict(torch.load(io.BytesIO(buffer.getvalue())))
    assert activity(straight) == activity(resumed, 1)


@pytest.mark.parametrize("slots", [("pcgrad", {"name": "random_weights"}), ("gcond", "uncertainty"), ("sam_gs", "dwa")])
def test_watching_moves_no_bit(make, monkeypatch, slots):
    watched = make(*slots)
    activity(watched)
    monkeypatch.setattr("gradsurgery.core.instruments.of_step", lambda *arguments: {})
    monkeypatch.setattr("gradsurgery.core.learner.of_weights", lambda *arguments: {})
    alone = make(*slots)
    assert activity(alone) == {}
    assert json.dumps([alone.epochs, alone.diagnostics]) == json.dumps([watched.epochs, watched.diagnostics])
    for one, other in zip(alone.network.parameters(), watched.network.parameters(), strict=True):
        assert torch.equal(one, other)
