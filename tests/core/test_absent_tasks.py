"""Batches without a task: the others are trained as if it did not exist, and it waits."""

import math

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import available, build
from gradsurgery.rules._mgf_epoch import Epoch
from tests.core.rows import BALANCERS, FIELDS, Rows, equal, learner, trained

METHODS = [name for name in available("aggregators") if name != "torchjd"]
NEVER = [(batch, 1) for batch in range(4)]  # task 1 is in no batch
OTHERS = {
    "static": {"weights": [1.0, 3.0]},
    "single_task": {"task": 1},  # what is task 2 of the whole
    "growing_weights": {"limits": [0.4, 1.0], "epochs": 4},
}


def head(run):
    return {name: value for name, value in trained(run)["network"].items() if name.startswith("heads.1")}


@pytest.mark.parametrize(
    ("method", "balancer"),
    [(method, balancer) for method in METHODS for balancer in ("equal", "uncertainty")]
    # random_weights draws for all three, and is held against shares of such a draw in tests/balancers
    + [("pcgrad", balancer) for balancer in BALANCERS if balancer not in ("equal", "uncertainty", "random_weights")],
)
def test_a_task_that_is_never_there_is_as_good_as_none(method, balancer):
    fields = {"task": 2} if balancer == "single_task" else FIELDS.get(balancer, {})
    whole = learner(method, balancer, Rows(missing=NEVER), fields=fields)
    alone = learner(method, balancer, Rows(own=(0, 2)), fields=OTHERS.get(balancer, {}))
    waiting = head(whole)
    for run in (whole, alone):
        run.epoch()
        run.epoch()
    assert whole.skipped_steps == 0
    assert whole.epochs == alone.epochs
    assert "train.b.loss" not in whole.epochs[0]
    assert equal(trained(whole)["network"], trained(alone)["network"])
    assert equal(head(whole), waiting)  # weight decay would have moved it
    if balancer == "uncertainty":
        s, t = list(whole.balancer_parameters.values()), list(alone.balancer_parameters.values())
        assert [s[0].item(), s[1].item(), s[2].item()] == [t[0].item(), 0.0, t[1].item()]


@pytest.mark.parametrize("balancer", BALANCERS)
def test_a_task_that_is_absent_for_a_batch_is_not_moved_by_it_and_goes_on_afterwards(balancer):
    """Adam's momentum and weight decay would move head and log-variance, were their gradients zero and not None."""
    run = learner("gcond", balancer, fields={"task": 0} if balancer == "single_task" else None)
    batches = list(zip(Rows().x, Rows(missing=[(1, 1)]).y, strict=True))
    run.step(batches[0])
    before, variances = trained(run), [p.item() for p in run.balancer_parameters.values()]
    before = {name: value.clone() for name, value in before["network"].items()}
    metrics = run.step(batches[1])
    assert set(metrics) == {"train.a.loss", "train.c.loss"}
    after, now = run.network.state_dict(), [p.item() for p in run.balancer_parameters.values()]
    assert {name for name in after if torch.equal(after[name], before[name])} >= {"heads.1.weight", "heads.1.bias"}
    assert not torch.equal(after["trunk.0.weight"], before["trunk.0.weight"])
    assert [a == b for a, b in zip(now, variances, strict=True)] == ([False, True, False] if now else [])
    run.step(batches[2])
    assert run.skipped_steps == 0
    assert all(p.isfinite().all() for p in run.network.parameters())


def test_a_task_that_was_absent_is_trained_again():
    run, batches = learner("pcgrad", "uncertainty"), list(zip(Rows().x, Rows(missing=[(1, 1)]).y, strict=True))
    run.step(batches[1])
    kept = run.network.heads[1].weight.clone(), run.balancer_parameters["log_variance_1"].clone()
    run.step(batches[2])
    assert not torch.equal(run.network.heads[1].weight, kept[0])
    assert not torch.equal(run.balancer_parameters["log_variance_1"], kept[1])


@pytest.mark.parametrize("method", ["sum", "pcgrad"])
def test_absent_from_one_micro_batch_only(method):
    """It adds nothing there, and its loss is averaged over those that have it."""
    problem = Rows(missing=[(1, 1)])
    run, plain = learner(method, problem=problem, diagnose_every=1), learner(method, problem=problem)
    batches = list(problem.batches(None, None))[:3]
    plain.network.train()
    found = [problem.losses(plain.network, batch) for batch in batches]
    totals = [sum(losses[k] for losses in found if losses[k] is not None) / 3 for k in range(3)]
    rows = [torch.autograd.grad(total, plain.surgery.parameters, retain_graph=True) for total in totals]
    metrics = run.step(*batches)
    expected = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
    torch.testing.assert_close(run.surgery.jacobian, expected, rtol=1e-4, atol=1e-6)
    heads = torch.autograd.grad(totals[1], list(plain.network.heads[1].parameters()))
    for p, wanted in zip(run.network.heads[1].parameters(), heads, strict=True):
        torch.testing.assert_close(p.grad, wanted, rtol=1e-4, atol=1e-6)
    held = [found[0][1].item(), found[2][1].item()]
    assert metrics["train.b.loss"] == pytest.approx(np.mean(held))
    assert metrics["train.a.loss"] == pytest.approx(np.mean([losses[0].item() for losses in found]))
    assert run.backward_passes == (8 if method == "pcgrad" else 3)


def test_stochastic_rows_of_a_task_that_is_absent_from_all_of_its_micro_batches():
    problem = Rows(missing=[(1, 1)])
    whole, alone = (learner("pcgrad", problem=p) for p in (problem, Rows(own=(0, 2))))
    x = list(problem.batches(None, None))
    metrics = whole.step(x[0], x[1], x[2], owners=[0, 1, 2])
    assert set(metrics) == {"train.a.loss", "train.b.loss", "train.c.loss"}  # task 1 is in x[0] and x[2] all the same
    alone.network.train()
    losses = [problem.losses(alone.network, x[0])[0], problem.losses(alone.network, x[2])[2]]
    J = torch.stack([torch.cat([g.flatten() for g in torch.autograd.grad(loss, alone.surgery.parameters)])
                     for loss in losses])  # fmt: skip
    torch.testing.assert_close(whole.surgery.jacobian[[0, 2]], J, rtol=1e-4, atol=1e-6)
    assert whole.backward_passes == 2


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("balancer", BALANCERS)
def test_a_batch_without_any_task_is_left_out_and_counted(balancer, precision):
    run = learner("sam_gs", balancer, Rows(missing=[(1, k) for k in range(3)]), precision=precision)
    if precision == "float16":
        run.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)  # low enough for all that follows
    batches = list(run.problem.batches(None, None))
    run.step(batches[0])
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    passes = run.backward_passes
    assert run.step(batches[1]) == {}
    assert equal(run.network.state_dict(), before)
    assert (run.step_count, run.skipped_steps, run.backward_passes) == (2, 1, 0)
    run.step(batches[2])
    assert (run.skipped_steps, run.backward_passes) == (1, passes)
    assert not torch.equal(run.network.trunk[0].weight, before["trunk.0.weight"])


def test_a_process_that_has_no_task_is_refused_as_the_others_would_wait_for_it(monkeypatch):
    run = learner("sum", problem=Rows(missing=[(0, k) for k in range(3)]))
    monkeypatch.setattr("gradsurgery.core.learner.several", lambda: True)
    with pytest.raises(ValueError, match="`losses` must hold a loss of at least one task in every process, found None"):
        run.epoch()


@pytest.mark.parametrize("balancer", BALANCERS)
def test_an_epoch_averages_over_the_steps_that_held_a_task(balancer):
    problem = Rows(missing=[(0, 1), (2, 1)])
    run, seen = learner("cagrad", balancer, problem), []
    run.epoch(seen.append)
    held = [row["train.b.loss"] for row in seen if "train.b.loss" in row]
    assert len(held) == 2
    assert run.epochs[0]["train.b.loss"] == pytest.approx(np.mean(held))
    problem.y[:, :, 1] = torch.nan  # now it is gone for an epoch
    run.epoch()
    assert "train.b.loss" not in run.epochs[1]
    problem.y[:] = Rows().y
    run.epoch()
    assert math.isfinite(run.epochs[2]["train.b.loss"])
    assert run.skipped_steps == (6 if balancer == "single_task" else 0)  # single_task trains task 1, and found it twice
    if balancer == "dwa":
        assert run.balancer_state["before"][1] == run.epochs[0]["train.b.loss"]


@pytest.mark.parametrize("method", ["sum", "cagrad", "sam_gs"])
def test_diagnostics_and_layers_are_those_of_the_tasks_that_are_there(method):
    options = {"diagnose_every": 1, "observe_layers": True, "score_layers": (0.0, -0.3)}
    whole = learner(method, problem=Rows(missing=NEVER), **options)
    alone = learner(method, problem=Rows(own=(0, 2)), **options)
    for run in (whole, alone):
        run.epoch()
    # G of three rows is not multiplied as that of two
    assert whole.diagnostics == [pytest.approx(row) for row in alone.diagnostics]
    for found, wanted in zip(whole.instruments.rows, alone.instruments.rows, strict=True):
        assert all(found[name] == pytest.approx(wanted[name]) for name in wanted)
    assert whole.instruments.scores == alone.instruments.scores


def test_half_batches_leave_an_absent_task_out_of_the_null():
    runs = [
        learner("pcgrad", problem=problem, half_batches=True, diagnose_every=1, observe_layers=True)
        for problem in (Rows(missing=NEVER), Rows(own=(0, 2)))
    ]
    for run in runs:
        run.epoch()
    for found, wanted in zip(runs[0].diagnostics, runs[1].diagnostics, strict=True):
        assert found == pytest.approx(wanted)  # G of six rows is not summed as that of four
        assert "null.same_task" in found
    for found, wanted in zip(runs[0].instruments.rows, runs[1].instruments.rows, strict=True):
        assert all(found[name] == pytest.approx(wanted[name]) for name in wanted)


def test_half_batches_of_which_one_has_no_task_at_all():
    problem = Rows()
    problem.y[:, :3] = torch.nan  # every first half
    run = learner("pcgrad", problem=problem, half_batches=True, diagnose_every=1)
    run.epoch()
    assert len(run.diagnostics) == 4
    assert "null.same_task" not in run.diagnostics[0]


@pytest.mark.parametrize("balancer", ["equal", "placebo_permuted"])
def test_split_batches_without_a_task(balancer):
    problem = Rows()
    problem.y[:, :2, 1] = torch.nan  # the first of three parts
    run = learner("pcgrad", balancer, problem, "split_batches")
    run.epoch()
    assert run.skipped_steps == 0
    assert math.isfinite(run.epochs[0]["train.b.loss"])


def test_dr_mgf_must_see_every_task_once_and_then_does_with_those_that_are_there():
    with pytest.raises(
        ValueError, match=r"rule `dr_mgf` must see every task in the first batch, .* found no loss of b"
    ):
        learner("sum", problem=Rows(missing=[(0, 1)]), rule="dr_mgf").epoch()
    for fields in ({}, {"compat": []}, {"aux_policy": "line_scan"}, {"fusion": "average"}, {"auxiliary": 0.0}):
        problem = Rows()
        run = learner("sum", problem=problem, rule=build("rules", "dr_mgf", **fields))
        run.epoch()
        problem.y[0, :, 1] = torch.nan
        seen = []
        run.epoch(seen.append)
        assert all(p.isfinite().all() for p in run.network.parameters())
        assert sum("train.b.loss" in row for row in seen) == sum("train.b.stage_loss" in row for row in seen) == 3
        assert math.isfinite(run.epochs[1]["train.b.loss"])
        assert run.skipped_steps == (1 if fields == {"auxiliary": 0.0} else 0)  # task b's own stage, with nothing else


def test_a_line_scan_without_a_task_keeps_its_constant_weight():
    problem = Rows()
    run = learner("sum", problem=problem, rule=build("rules", "dr_mgf", aux_policy="line_scan", auxiliary=0.3))
    run.epoch()
    problem.y[:, :, 1] = torch.nan
    work = Epoch(run.rule, run)
    work.scan(next(problem.batches(None, None)))
    assert work.auxiliary[1].tolist() == [0.3, 1.0, 0.3]
