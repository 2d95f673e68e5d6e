"""No number that an optimiser steps is NaN where `backward` says True, and a step left out leaves no trace."""

import copy
import logging

import numpy as np
import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build
from gradsurgery.core.interfaces import Aggregator, Scalarization
from tests.contracts import METHODS


def losses(w, *factors):
    return [(factor * (w - k).square()).sum() for k, factor in enumerate(factors, start=1)]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_loss_that_is_not_finite_though_its_gradient_is(name, bad, caplog):
    w, twin = nn.Parameter(torch.arange(4.0)), nn.Parameter(torch.arange(4.0))
    surgery, other = GradientSurgery([w], METHODS[name]), GradientSurgery([twin], METHODS[name])
    for engine, p in ((surgery, w), (other, twin)):
        assert engine.backward(losses(p, 1.0, -0.5, 2.0))
        p.grad = None
    before = copy.deepcopy(surgery.state_dict())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            a, b, c = losses(w, 1.0, -0.5, 2.0)
            assert not surgery.backward([a, b + bad, c])
            assert w.grad.isnan().all()
    assert surgery.skipped_steps == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(surgery.state_dict() | {"skipped_steps": 0}) == str(before)
    # Nobody called zero_grad: the NaN is gone all the same.
    assert surgery.backward(losses(w, 1.0, -0.5, 2.0))
    assert other.backward(losses(twin, 1.0, -0.5, 2.0))
    assert torch.equal(w.grad, twin.grad)


@pytest.mark.parametrize("name", ["sum", "pcgrad", "sam_gs"])
def test_a_users_own_loss_weights_are_guarded_through_the_losses(name):
    w, v = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))
    surgery = GradientSurgery([w], METHODS[name])
    a, b = losses(w, 1.0, 1.0)
    assert not surgery.backward([a * torch.exp(-v[0]), b.detach() * torch.nan * v[1] + w.sum()])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("sparse", [False, True])
def test_a_head_whose_gradient_is_not_finite(name, sparse):
    w = nn.Parameter(torch.ones(2))
    head = nn.Embedding(3, 2, sparse=sparse)
    surgery = GradientSurgery([w], METHODS[name], heads=head.parameters())
    own = head(torch.tensor([1]))
    own.register_hook(lambda g: g * torch.inf)
    assert not surgery.backward([w.square().sum() + own.sum(), w.sum()])
    assert surgery.skipped_steps == 1
    assert surgery.state is None


def test_sums_of_half_precision_heads_do_not_overflow():
    w, head = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(100, dtype=torch.float16))
    surgery = GradientSurgery([w], build("sum"), heads=[head])
    assert surgery.backward([w.sum() + (head * 3e4).float().sum(), w.sum()])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float16, 4e4), (torch.bfloat16, 3e38), (torch.float32, 3e38), (torch.float64, 1e200)]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_direction_that_overflows_is_left_out_and_forgotten(name, dtype, size):
    if name == "torchjd" and dtype != torch.float16:
        pytest.skip("torchjd raises what its solver says of a G that overflowed")
    w, twin = nn.Parameter(torch.zeros(4, dtype=dtype)), nn.Parameter(torch.zeros(4, dtype=dtype))
    engines = GradientSurgery([w], METHODS[name], seed=1), GradientSurgery([twin], METHODS[name], seed=1)
    rows = torch.tensor([[1.0, 2, 0, 1], [1, -1, 1, 0], [1, 1, -1, -2]], dtype=dtype)

    def step(engine, p, factor=1.0):
        p.grad = None
        return engine.backward([(row * factor * p).sum() for row in rows])

    assert step(engines[0], w)
    assert step(engines[1], twin)
    before = str(engines[0].state)
    if step(engines[0], w, size / 2):
        assert w.grad.isfinite().all()
        assert engines[0].skipped_steps == 0
        return
    assert engines[0].skipped_steps == 1
    assert str(engines[0].state) == before
    engines[0].generator = copy.deepcopy(engines[1].generator)  # what was drawn is drawn
    assert step(engines[0], w)
    assert step(engines[1], twin)
    assert torch.equal(w.grad, twin.grad)


class InPlace(Aggregator):
    """Advances its memory in place before it fails, as GCond and SAM-GS do."""

    def __call__(self, J, state, generator):
        m = torch.zeros_like(J[0]) if state is None else state["m"]
        m += J.sum(0)
        return m * m * m, {"m": m}


def test_memory_advanced_in_place_is_put_back():
    w = nn.Parameter(torch.ones(2))
    surgery = GradientSurgery([w], InPlace())
    assert surgery.backward([w.sum(), w.sum()])
    assert not surgery.backward([w.sum() * 1e20, w.sum()])
    assert surgery.state["m"].tolist() == [2.0, 2.0]


class Huge(Scalarization):
    def scale(self, num_tasks):
        return 1e30


@pytest.mark.parametrize("diagnose", [False, True])
def test_a_constant_that_overflows_is_left_out(diagnose):
    w = nn.Parameter(torch.ones(2))
    surgery = GradientSurgery([w], Huge())
    assert not surgery.backward([w.sum() * 1e10, w.sum()], diagnose=diagnose)
    w.grad = None
    assert surgery.backward([w.sum(), w.sum()], diagnose=diagnose)
    assert np.isfinite(surgery.weights).all()


@pytest.mark.parametrize("name", ["sum", "pcgrad", "gcond"])
def test_gradients_whose_squares_overflow_are_no_reason(name):
    w = nn.Parameter(torch.zeros(2))
    assert GradientSurgery([w], METHODS[name]).backward([w.sum() * 1e25, w.sum() * 1e25])
    assert w.grad.isfinite().all()


def test_a_bad_micro_batch_spoils_its_own_step_only():
    w = nn.Parameter(torch.ones(2))
    surgery = GradientSurgery([w], build("pcgrad"))
    surgery.accumulate([w.sum() + torch.nan, w.sum()])
    surgery.accumulate([w.sum(), w.sum()])
    assert not surgery.aggregate()
    w.grad = None
    assert surgery.backward([w.sum(), w.sum()])
    assert w.grad.tolist() == [2.0, 2.0]
