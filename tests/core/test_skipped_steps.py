"""Steps with a number that is not finite: left out, counted, and as if they had never been."""

import math

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import available, build
from gradsurgery.rules._mgf_epoch import Epoch
from tests.core.rows import BALANCERS, Rows, equal, finite, learner, trained

METHODS = [name for name in available("aggregators") if name != "torchjd"]
TRAINED = ["log_variance_1"]  # balancers with parameters have this one


def poison(run, kind):
    """The losses of a batch, with something in them that is not finite: in task 1's, which every balancer reads."""
    usual = run.problem.losses

    def losses(network, batch):
        x, y = batch
        found = list(usual(network, (x * torch.inf, y) if kind == "batch" else batch))
        steep = {
            "trunk gradient": network.trunk[0].weight,
            "head gradient": network.heads[1].bias,
            "balancer gradient": run.balancer_parameters.get(TRAINED[0]),
        }.get(kind)
        if steep is not None:  # 0, with an infinite slope
            found[1] = found[1] + (steep - steep.detach()).sqrt().sum()
        if kind in ("nan", "inf"):
            found[1] = found[1] + float(kind)  # its gradient stays finite
        if kind == "overflow":
            found[1] = found[1] * 1e30 * 1e30
        return found

    return losses


def after(run, kind, method):
    """The state after three batches, with a poisoned one (or, for None, nothing) behind the first."""
    batches = list(run.problem.batches(None, None))
    run.step(batches[0])
    if kind is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run.problem, "losses", poison(run, kind))
            metrics = run.step(batches[1])
        assert set(metrics) == {"train.a.loss", "train.b.loss", "train.c.loss"}
        assert run.skipped_steps == 1
    elif type(run.balancer).__name__ == "RandomWeights":
        run.generators.method.standard_normal(3)  # what was drawn stays drawn
    for batch in batches[2:]:
        run.step(batch)
    assert run.skipped_steps == (kind is not None)
    assert finite(trained(run))
    return trained(run), run.surgery.state, run.balancer_state, run.optimizer.state_dict()["state"]


@pytest.mark.parametrize("kind", ["nan", "inf", "overflow", "batch", "trunk gradient", "head gradient"])
@pytest.mark.parametrize(
    ("method", "balancer", "clip"),
    [("sam_gs", balancer, None) for balancer in BALANCERS]
    + [(method, "equal", clip) for method in METHODS for clip in (None, 0.5)],
)
def test_a_step_that_is_left_out_leaves_no_trace(method, balancer, kind, clip):
    poisoned, spared = (learner(method, balancer, Rows(clip=clip)) for _ in range(2))
    assert equal(after(poisoned, kind, method), after(spared, None, method))


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("method", ["sum", "pcgrad", "gcond"])
def test_a_balancers_own_parameters_are_guarded(method, clip):
    poisoned, spared = (learner(method, "uncertainty", Rows(clip=clip)) for _ in range(2))
    assert equal(after(poisoned, "balancer gradient", method), after(spared, None, method))


def test_every_parameter_of_a_balancer_is_thought_of_here():
    for name in BALANCERS:
        own = learner("sum", name).balancer_parameters
        assert not own or TRAINED[0] in own


@pytest.mark.parametrize("kind", ["nan", "batch", "trunk gradient", "head gradient"])
@pytest.mark.parametrize("method", ["sum", "pcgrad", "gcond"])
def test_a_grad_scaler_leaves_the_same_steps_out(method, kind):
    run = learner(method, "uncertainty", precision="float16")
    run.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    found = after(run, kind, method)
    assert run.scaler.get_scale() == 4.0
    assert finite(list(found))


def test_a_step_that_clipping_leaves_out_is_not_taken_by_a_grad_scaler():
    """The norm overflows where no gradient does: nothing tells the scaler."""
    run = learner("sum", problem=Rows(clip=1.0), precision="float16")
    run.scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    before = [p.clone() for p in run.network.parameters()]
    run.network.heads[0].bias.register_hook(lambda g: g * 0 + 3e38)
    run.network.heads[1].bias.register_hook(lambda g: g * 0 + 3e38)
    run.step(next(run.problem.batches(None, None)))
    assert run.skipped_steps == 1
    assert all(map(torch.equal, run.network.parameters(), before))


@pytest.mark.parametrize("balancer", BALANCERS)
def test_the_memory_of_an_epoch_takes_nothing_in_that_is_not_finite(balancer):
    run = learner("cagrad", balancer)
    problem = run.problem
    problem.x[1] = torch.inf
    seen = []
    run.epoch(seen.append)
    assert run.skipped_steps == 1
    assert math.isnan(seen[1]["train.b.loss"])  # what a step says is what it saw
    assert run.epochs[0]["train.b.loss"] == pytest.approx(np.mean([seen[n]["train.b.loss"] for n in (0, 2, 3)]))
    problem.x[:] = torch.nan
    run.epoch()
    assert run.skipped_steps == 5
    problem.x[:] = Rows().x
    run.epoch()
    assert run.skipped_steps == 5
    assert finite(run.balancer_state)
    assert math.isfinite(run.epochs[2]["train.b.loss"])
    if balancer == "dwa":
        assert run.balancer_state["before"][1] == run.epochs[0]["train.b.loss"]


@pytest.mark.parametrize("rule", ["joint", "split_batches", "dr_mgf"])
def test_no_rule_carries_a_poisoned_batch_on(rule):
    run = learner("sum", "uncertainty", rule=rule, diagnose_every=1)
    run.problem.x[2] = torch.inf
    run.epoch()
    assert run.skipped_steps == (4 if rule == "dr_mgf" else 1)  # once in each stage, and when the scales are learned
    assert finite(run.state_dict()["network"])
    assert finite(run.state_dict()["optimizer"])
    assert finite(run.state_dict()["rule"])
    assert finite(run.diagnostics)


@pytest.mark.parametrize("fields", [{}, {"compat": []}, {"fusion": "average"}, {"aux_policy": "line_scan"}], ids=str)
@pytest.mark.parametrize("kind", ["nan", "head gradient", "balancer gradient"])
def test_a_step_that_dr_mgf_leaves_out_leaves_no_trace(fields, kind):
    """In the stage of the first task, the second batch against no second batch."""
    ends = []
    for poisoned in (True, False):
        run = learner("sum", "uncertainty", rule=build("rules", "dr_mgf", **fields))
        run.epoch()
        work, batches = Epoch(run.rule, run), list(run.problem.batches(None, None))
        stage = work.disentangle(0, iter([batches[0], *([batches[1]] if poisoned else []), batches[2]]))
        next(stage)
        if poisoned:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(run.problem, "losses", poison(run, kind))
                next(stage)
            assert run.skipped_steps == 1
        list(stage)
        assert run.skipped_steps == poisoned
        ends.append([work.changes, work.taken, work.statistics, dict(run.balancer_parameters), dict(work.importance)])
    assert equal(*ends)


def test_a_line_scan_that_sees_nothing_finite_keeps_its_constant_weight():
    run = learner("sum", rule=build("rules", "dr_mgf", aux_policy="line_scan", auxiliary=0.3))
    run.epoch()
    work = Epoch(run.rule, run)
    x, y = next(run.problem.batches(None, None))
    work.scan((x * torch.nan, y))
    assert work.auxiliary.tolist() == [[1.0, 0.3, 0.3], [0.3, 1.0, 0.3], [0.3, 0.3, 1.0]]
