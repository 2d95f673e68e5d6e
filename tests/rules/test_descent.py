"""Lock-step descent: equal to the ordinary loop, resumable, and the papers' landscape results that run fast."""

import copy
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import available, build
from gradsurgery.core.learner import Learner
from gradsurgery.core.seeding import Generators
from gradsurgery.core.surgery import GradientSurgery
from gradsurgery.problems.landscape import STARTS


def _learner(landscape, method, steps, starts=None, epochs=1, clip=None, balancer="equal", rule="descent"):
    arrays = {"starts": np.array(STARTS[landscape] if starts is None else starts)}
    problem = build("problems", "landscape", arrays=arrays, landscape=landscape, steps=steps, epochs=epochs, clip=clip)
    generators = Generators(0)
    network = problem.network(generators.init)
    return Learner(problem, network, build("rules", rule), build("balancers", balancer), method, generators)


def _theta(learner):
    return learner.network.theta.detach().numpy()


@pytest.fixture(scope="module")
def unchecked():
    """A process in which annotations are not checked at every call: 20,000 steps take seconds there, not a minute."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield lambda *arguments: pool.submit(_end, *arguments).result()


def _end(landscape, name, fields, steps, starts):
    learner = _learner(landscape, build("aggregators", name, **fields), steps, starts)
    learner.epoch()
    return learner.rule_state["trajectory"]["first_solved"], _theta(learner)


@pytest.mark.parametrize(
    ("name", "fields", "clip"),
    [("mean", {}, None), ("pcgrad", {}, None), ("cagrad", {"c": 0.5}, 0.3), ("sam_gs", {"max_norm": None}, 0.3)],
)
def test_equal_to_torch_adam_with_gradient_surgery_start_by_start(name, fields, clip):
    method = build("aggregators", name, **fields)
    # Not (0, 0): there the x gradients cancel, and Adam blows up the rounding that is left, which processors differ in.
    starts = [(-8.5, 7.5), (9.0, 9.0)]
    learner = _learner("cagrad_toy", method, 200, starts, epochs=2, clip=clip)
    learner.epoch()
    learner.epoch()  # Adam's count of steps must not start again
    for start, found in zip(starts, _theta(learner), strict=True):
        problem = build("problems", "landscape", arrays={"starts": np.array([start])}, landscape="cagrad_toy",
                        steps=200, epochs=1)  # fmt: skip
        network = problem.network(torch.Generator())
        surgery = GradientSurgery(network.shared_parameters(), method)
        optimizer = problem.optimizer([network.theta])
        for _ in range(200):
            optimizer.zero_grad()
            surgery.backward(problem.losses(network, torch.empty(0)))
            if clip is not None:
                torch.nn.utils.clip_grad_norm_([network.theta], clip)
            optimizer.step()
        np.testing.assert_allclose(found, network.theta.detach().numpy()[0], rtol=1e-10, atol=1e-12)


def test_stopped_and_restored_is_the_same_to_the_bit():
    method = build("aggregators", "sam_gs")
    straight = _learner("sam_gs_toy1", method, 60, epochs=3)
    rows = [straight.epoch() for _ in range(3)]
    first = _learner("sam_gs_toy1", method, 60, epochs=3)
    first.epoch()
    saved = copy.deepcopy(first.state_dict())
    first.epoch()  # what happens after the checkpoint must not reach it
    second = _learner("sam_gs_toy1", method, 60, epochs=3)
    second.load_state_dict(saved)
    assert [second.epoch(), second.epoch()] == rows[1:]
    np.testing.assert_array_equal(_theta(second), _theta(straight))
    assert second.rule_state["trajectory"] == straight.rule_state["trajectory"]
    assert second.diagnostics == straight.diagnostics
    assert second.step_count == straight.step_count == 60


def test_starts_do_not_touch_each_other():
    method = build("aggregators", "sam_gs")
    together = _learner("sam_gs_toy1", method, 100)
    together.epoch()
    for s, start in enumerate(STARTS["sam_gs_toy1"][:2]):
        alone = _learner("sam_gs_toy1", method, 100, [start])
        alone.epoch()
        np.testing.assert_allclose(_theta(alone)[0], _theta(together)[s], rtol=1e-12)


def test_what_is_recorded():
    learner = _learner("cagrad_toy", build("aggregators", "cagrad", c=0.5), 1000, epochs=2)
    start = _theta(learner).copy()
    first, second = learner.epoch(), learner.epoch()
    trajectory = learner.rule_state["trajectory"]
    steps = trajectory["steps"]
    assert steps[0] == 0
    assert steps[-1] == 1000
    assert len(steps) <= 150
    assert steps == sorted(set(steps))
    assert trajectory["theta"][0] == start.tolist()
    np.testing.assert_allclose(trajectory["theta"][-1], _theta(learner), atol=5e-7)
    losses, _ = learner.problem.jacobian(_theta(learner))
    np.testing.assert_allclose(np.transpose(trajectory["losses"][-1]), losses, atol=5e-7)
    assert trajectory["first_solved"] == [None] * 5
    assert [row["step"] for row in learner.diagnostics] == steps[:-1]
    assert set(learner.diagnostics[0]) == {
        "step", "conflict_share", "mean_cosine", "magnitude_similarity", "deviation", "worst_alignment", "method.gap",
    }  # fmt: skip
    assert first["train.L1.loss"] != second["train.L1.loss"]
    assert second["val.all.loss"] == pytest.approx(losses.mean())


def test_the_first_solved_step_is_noted_once():
    learner = _learner("cagrad_toy", build("aggregators", "mean"), 100, [(0.0, -8.36), (0.0, -8.0), (9.0, 9.0)])
    learner.epoch()
    first, second, third = learner.rule_state["trajectory"]["first_solved"]
    assert first == 0
    assert second is None
    assert third is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"balancer": "log_loss"},
            "rule `descent` must be given a balancer that leaves losses as they are, found LogLoss",
        ),
        ({"device": "meta"}, "rule `descent` must run on the device `cpu`, found meta"),
    ],
)
def test_what_it_cannot_do_is_refused(changes, message):
    learner = _learner("cagrad_toy", build("aggregators", "mean"), 10, balancer=changes.get("balancer", "equal"))
    learner.device = torch.device(changes.get("device", "cpu"))
    with pytest.raises(ValueError, match=message):
        learner.epoch()


# Regression values: the specification's own float64 runs of the papers' settings.


@pytest.mark.slow
def test_cagrad_reaches_the_optimum_when_the_specification_says(unchecked):
    starts = [(-8.5, -5.0), (10.0, -8.0)]
    solved, theta = unchecked("cagrad_toy", "cagrad", {"c": 0.5, "rescale": 2}, 20_000, starts)
    assert solved == [pytest.approx(13_845, abs=5), pytest.approx(15_862, abs=5)]
    np.testing.assert_allclose(theta, [[0.0, -8.35511]] * 2, atol=1e-3)


@pytest.mark.slow
def test_pcgrad_stops_on_the_front_before_the_optimum(unchecked):
    starts = [(-8.5, -5.0), (10.0, -8.0)]
    solved, theta = unchecked("cagrad_toy", "pcgrad", {"reduction": "mean"}, 100_000, starts)
    assert solved == [None, None]
    np.testing.assert_allclose(theta, [(-6.45, -8.42), (6.62, -8.43)], atol=0.01)


@pytest.mark.slow
def test_mgda_stops_where_the_front_begins(unchecked):
    # The specification has (-3.32, -8.37) for the second start; by the landscape's symmetry it must mirror the first.
    solved, theta = unchecked("cagrad_toy", "mgda", {}, 20_000, [(-8.5, -5.0), (10.0, -8.0)])
    assert solved == [None, None]
    np.testing.assert_allclose(theta, [(-7.00, -8.43), (7.00, -8.43)], atol=0.01)


def test_sam_gs_passes_the_published_check_points():
    method = build("aggregators", "sam_gs", gamma=0.1, beta2=0.99)
    learner = _learner("sam_gs_toy1", method, 1000, [(-8.0, 5.0), (10.0, -2.5)], epochs=10)
    learner.epoch()
    np.testing.assert_allclose(_theta(learner), [[-7.8985, 4.8964], [9.8993, -2.5983]], atol=2e-4)
    for _ in range(9):
        learner.epoch()
    np.testing.assert_allclose(_theta(learner), [[-6.9765, 3.5984], [8.9614, -3.2916]], atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, pytest.approx(16_331, abs=400)), ({"max_norm": None}, None), ({"similarity": "full_mean"}, None)],
)
def test_sam_gs_needs_its_pair_mean_and_its_clip(unchecked, fields, expected):
    """T16, from one of the two hard starts."""
    solved, _ = unchecked("sam_gs_toy1", "sam_gs", fields, 20_000, [(-3.0, 7.5)])
    assert solved == [expected]


@pytest.mark.slow
def test_sam_gs_solves_from_below_within_ten_thousand_steps(unchecked):
    solved, _ = unchecked("sam_gs_toy1", "sam_gs", {}, 10_000, [(-10.0, -2.5), (10.0, -2.5)])
    assert solved == [pytest.approx(9_915, abs=5)] * 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [name for name in available("aggregators") if name != "torchjd"])
def test_a_start_that_leaves_the_finite_numbers_ends_alone_and_is_said(name):
    """(1e200, 1e200) has losses that are no number; the other start goes on as if it were by itself."""
    method = build("aggregators", name)
    both = _learner("cagrad_toy", method, 200, [(-8.5, -5.0), (1e200, 1e200)])
    alone = _learner("cagrad_toy", method, 200, [(-8.5, -5.0), (-8.5, -5.0)])
    row = both.epoch()
    alone.epoch()
    assert np.array_equal(_theta(both)[0], _theta(alone)[0])
    assert not np.isfinite(_theta(both)[1]).all()
    assert both.diverged == 1
    assert np.isnan(row["val.all.solved"])
    assert not np.isfinite(row["val.all.loss"])
    assert alone.diverged is None
