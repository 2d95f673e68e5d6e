"""One run: a step by hand, what is logged, and above all that a killed run ends as if it had not been killed."""

import io
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from gradsurgery import available, build
from gradsurgery.core.discovery import available as found
from gradsurgery.core.discovery import build as discover
from gradsurgery.core.learner import Learner
from gradsurgery.core.seeding import Generators

METHODS = [name for name in available() if name != "torchjd"]
NEEDED = {
    "static": {"weights": [1.0, 3.0]},
    "single_task": {"task": 1},
    "growing_weights": {"limits": [0.4, 1.0], "epochs": 2},
}
BALANCERS = {name: {"name": name, **NEEDED.get(name, {})} for name in found("balancers")}


def parameters(learner):
    return torch.cat([p.detach().reshape(-1) for p in learner.network.parameters()])


def saved(learner):
    """The state as a checkpoint would hold it: bytes."""
    buffer = io.BytesIO()
    torch.save(learner.state_dict(), buffer)
    return buffer.getvalue()


def load(learner, state):
    learner.load_state_dict(torch.load(io.BytesIO(state)))
    return learner


def outcome(learner):
    return json.dumps([learner.epochs, learner.diagnostics, learner.skipped_steps, learner.step_count])


def test_the_sum_trains_as_the_ordinary_loop_does(make):
    learner, plain = make("sum"), make("sum")
    network, problem = plain.network, plain.problem
    for _ in range(2):
        learner.epoch()
        for batch in problem.batches(plain.generators.order, plain.generators.augmentation):
            plain.optimizer.zero_grad()
            sum(problem.losses(network, batch)).backward()
            plain.optimizer.step()
        plain.scheduler.step()
    torch.testing.assert_close(parameters(learner), parameters(plain), rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
@pytest.mark.parametrize("aggregator", [*METHODS, {"name": "torchjd", "method": "nash_mtl"}], ids=str)
def test_a_killed_run_ends_as_an_uninterrupted_one(make, aggregator):
    if isinstance(aggregator, dict):
        pytest.importorskip("torchjd")
    straight = make(aggregator)
    for _ in range(3):
        straight.epoch()
    killed = make(aggregator)
    killed.epoch()
    state = saved(killed)
    killed.epoch()  # work that is lost
    resumed = load(make(aggregator), state)
    for _ in range(2):
        resumed.epoch()
    assert outcome(resumed) == outcome(straight)
    assert torch.equal(parameters(resumed), parameters(straight))


@pytest.mark.parametrize("name", BALANCERS)
def test_balancers_resume_too(make, name):
    balancer = BALANCERS[name]
    straight = make("pcgrad", balancer)
    for _ in range(3):
        straight.epoch()
    killed = make("pcgrad", balancer)
    killed.epoch()
    killed.epoch()
    resumed = load(make("pcgrad", balancer), saved(killed))
    resumed.epoch()
    assert outcome(resumed) == outcome(straight)
    assert torch.equal(parameters(resumed), parameters(straight))


@pytest.mark.slow
def test_a_new_process_continues_to_the_bit(make, declare, arrays, tmp_path):
    straight = make("sam_gs", "random_weights")
    straight.epoch()
    (tmp_path / "state.pt").write_bytes(saved(straight))
    straight.epoch()
    (tmp_path / "run.pkl").write_bytes(pickle.dumps((declare("sam_gs", "random_weights"), arrays)))
    code = """
import json, pickle, sys, torch
from pathlib import Path
from gradsurgery.experiment import build_learner
here = Path(sys.argv[1])
declaration, arrays = pickle.loads((here / "run.pkl").read_bytes())
learner = build_learner(declaration, arrays, 0)
learner.load_state_dict(torch.load(here / "state.pt"))
learner.epoch()
print(json.dumps([learner.epochs, learner.diagnostics, learner.skipped_steps, learner.step_count]))
"""
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == outcome(straight)


@pytest.mark.parametrize("aggregator", [m for m in METHODS if m != "pcgrad"])
def test_every_method_sees_the_same_data_and_starts_from_the_same_weights(make, aggregator):
    reference, learner = make("pcgrad"), make(aggregator)
    assert torch.equal(parameters(reference), parameters(learner))
    reference.epoch()
    learner.epoch()
    for name in ("order", "augmentation", "split"):
        a, b = (str(getattr(x.generators, name).bit_generator.state) for x in (reference, learner))
        assert a == b
    assert reference.generators.init.get_state().equal(learner.generators.init.get_state())


def test_a_row_holds_all_splits_and_means_over_steps(make):
    learner = make("mean")
    seen = []
    row = learner.epoch(seen.append)
    assert len(seen) == 4
    assert row["train.left.loss"] == pytest.approx(np.mean([m["train.left.loss"] for m in seen]))
    assert set(row) == {"epoch", "train.left.loss", "train.right.loss"} | {
        f"{split}.{task}.{kind}"
        for split in ("val", "test")
        for task in ("left", "right")
        for kind in ("loss", "accuracy")
    }
    assert learner.epochs == [row]


def test_diagnostics_come_at_step_0_and_every_few_steps(make):
    learner = make("cagrad")
    learner.epoch()
    learner.epoch()
    assert [row["step"] for row in learner.diagnostics] == [0, 3, 6]
    assert set(learner.diagnostics[0]) == {
        "step", "conflict_share", "mean_cosine", "magnitude_similarity", "deviation", "worst_alignment", "method.gap",
    }  # fmt: skip
    assert len(learner.step_times) == 8 - 3


@pytest.mark.parametrize("aggregator", METHODS)
def test_diagnostics_are_those_of_the_direction_taken(make, aggregator):
    learner = make(aggregator, diagnose_every=1)
    batch = next(learner.problem.batches(np.random.default_rng(0), np.random.default_rng(0)))
    learner.step(batch)
    J = learner.surgery.jacobian.double()
    d = learner.surgery.direction.double()
    row = learner.diagnostics[-1]
    worst = torch.nn.functional.cosine_similarity(J, d[None], dim=1).min()
    g0 = J.mean(0)
    assert row["worst_alignment"] == pytest.approx(worst.item(), abs=1e-5)
    assert row["deviation"] == pytest.approx(((d / d.norm() * g0.norm() - g0).norm() / g0.norm()).item(), abs=1e-3)


def test_backward_passes_are_counted_without_diagnostics(make):
    for aggregator, passes in (("sum", 1), ("pcgrad", 2)):
        learner = make(aggregator, diagnose_every=1)
        learner.epoch()
        assert learner.backward_passes == passes
    single = make("pcgrad", {"name": "single_task", "task": 1})
    single.epoch()
    assert single.backward_passes == 1


def test_clipping_is_of_the_whole_gradient(make):
    learner = make("sum", settings={"clip": 1e-3})
    batch = next(learner.problem.batches(np.random.default_rng(0), np.random.default_rng(0)))
    learner.step(batch)
    norm = torch.cat([p.grad.reshape(-1) for p in learner.network.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-4)


@pytest.mark.parametrize("where", ["trunk", "head"])
@pytest.mark.parametrize("aggregator", ["sum", "pcgrad", "sam_gs"])
def test_a_step_that_is_not_finite_is_left_out_and_counted(make, aggregator, where):
    learner = make(aggregator)
    batch = next(learner.problem.batches(np.random.default_rng(0), np.random.default_rng(0)))
    learner.step(batch)
    before = parameters(learner).clone()
    handle = (
        learner.network.trunk[1].weight.register_hook(lambda g: g * torch.nan)
        if where == "trunk"
        else learner.network.heads[0].weight.register_hook(lambda g: g * torch.inf)
    )
    learner.step(batch)
    assert torch.equal(parameters(learner), before)
    assert (learner.skipped_steps, learner.step_count) == (1, 2)
    handle.remove()
    learner.step(batch)
    assert learner.skipped_steps == 1
    assert not torch.equal(parameters(learner), before)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("aggregator", ["sum", "pcgrad", "sam_gs"])
def test_reduced_precision_trains_nearly_as_float32_does(make, precision, aggregator):
    learner, exact = make(aggregator, precision=precision), make(aggregator)
    row, expected = learner.epoch(), exact.epoch()
    assert row["train.left.loss"] == pytest.approx(expected["train.left.loss"], rel=0.02)
    assert row["train.right.loss"] == pytest.approx(expected["train.right.loss"], rel=0.02)


def test_a_loss_scale_that_overflows_is_lowered_and_the_step_skipped(make):
    learner = make("sam_gs", precision="float16")
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    learner.epoch()
    assert learner.skipped_steps > 0
    assert learner.surgery.skipped_steps == learner.skipped_steps
    assert learner.scaler.get_scale() < 2.0**40
    assert parameters(learner).isfinite().all()


def test_parameters_of_a_balancer_are_trained_without_decay(make):
    learner = make("pcgrad", "uncertainty", settings={"weight_decay": 0.1})
    before = [p.detach().clone() for p in learner.balancer_parameters.values()]
    learner.epoch()
    assert all(not torch.equal(p, b) for p, b in zip(learner.balancer_parameters.values(), before, strict=True))
    assert learner.optimizer.param_groups[-1]["weight_decay"] == 0.0


def test_wrapped_networks_are_refused(make):
    learner = make()
    network = learner.network
    network.trunk = nn.DataParallel(network.trunk)
    with pytest.raises(TypeError, match="`network` must not be wrapped, found DataParallel as its `trunk`"):
        Learner(learner.problem, network, learner.rule, discover("balancers", "equal"), build("sum"), Generators(0))


def test_a_network_that_is_wrapped_by_what_is_derived_from_a_wrapper_is_refused(make):
    class Own(nn.parallel.DistributedDataParallel):
        pass

    learner = make()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        learner.network.trunk = Own(learner.network.trunk)
    finally:
        dist.destroy_process_group()
    with pytest.raises(TypeError, match=r"found DistributedDataParallel as its `trunk`: .* Pass the bare network"):
        Learner(learner.problem, learner.network, learner.rule, learner.balancer, learner.method, Generators(0))


def test_a_part_of_a_state_is_refused_before_anything_is_loaded(make):
    learner, state = make(), make("pcgrad", settings={"lr": 0.5}).state_dict()
    before = saved(learner)
    del state["rule"], state["counters"]
    with pytest.raises(ValueError, match="`state` must be all of a `state_dict`, found no counters, rule in it"):
        learner.load_state_dict(state)
    assert saved(learner) == before
