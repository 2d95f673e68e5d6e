"""The shared contracts, run on every method that is found."""

import dataclasses

import pytest
import torch

from gradsurgery.core.interfaces import Aggregator, Scalarization, Weighting
from tests.contracts import (
    METHODS,
    check_one_task,
    check_repeatable,
    check_resumable,
    check_shape_and_type,
    direction,
    gradients,
)

pytestmark = pytest.mark.parametrize("name", METHODS)
SHAPES = [(1, 4), (2, 1), (2, 5), (3, 2), (3, 50), (10, 7), (40, 64)]


@pytest.mark.parametrize(("K", "P"), SHAPES, ids=str)
def test_shape_and_type(name, K, P):
    check_shape_and_type(METHODS[name], gradients(K, P))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_every_dtype(name, dtype):
    check_shape_and_type(METHODS[name], gradients(3, 20, dtype=dtype))


@pytest.mark.parametrize("which", [[0], [1], [0, 1], [0, 1, 2]], ids=str)
def test_tasks_without_gradient(name, which):
    J = gradients(3, 6)
    J[which] = 0.0
    if name == "torchjd" and len(which) == 3:
        pytest.skip("torchjd's own convention")
    check_shape_and_type(METHODS[name], J)


@pytest.mark.parametrize("factor", [1.0, -1.0, -0.5], ids=str)
@pytest.mark.parametrize("K", [2, 3, 4])
def test_parallel_gradients(name, K, factor):
    J = gradients(K, 6)
    J[-1] = factor * J[0]
    check_shape_and_type(METHODS[name], J)


def test_all_tasks_alike(name):
    J = gradients(1, 6).repeat(4, 1)
    check_shape_and_type(METHODS[name], J)


@pytest.mark.parametrize("K", [2, 3, 10])
def test_repeatable(name, K):
    check_repeatable(METHODS[name], gradients(K, 8))


def test_resumable(name):
    check_resumable(METHODS[name], [gradients(3, 8, seed) for seed in range(4)])


def test_one_task(name):
    check_one_task(METHODS[name], gradients(1, 5)[0])


def test_loss_scale_does_not_turn_the_direction(name):
    """What an AMP loss scale of 2^16 that was never divided out would do on a first step: nothing but length."""
    if name == "gcond":
        pytest.skip("compares lengths with a running average that starts at 1")
    if name == "cagrad-official":
        pytest.skip("absolute tolerances; see test_cagrad.py")
    small = direction(METHODS[name], gradients(3, 8))
    large = direction(METHODS[name], gradients(3, 8) * 2.0**16)
    assert torch.allclose(small / small.norm(), large / large.norm(), rtol=0.0, atol=1e-6)


def test_is_a_frozen_dataclass_of_one_kind(name):
    method = METHODS[name]
    assert isinstance(method, Scalarization | Weighting | Aggregator)
    for field in dataclasses.fields(method):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(method, field.name, getattr(method, field.name))


def test_docstring_has_the_house_parts(name):
    text = type(METHODS[name]).__doc__
    assert text.splitlines()[0].endswith(".")
    for part in ("Source: ", "Departures:") + (("Args:",) if dataclasses.fields(METHODS[name]) else ()):
        assert part in text
    for field in dataclasses.fields(METHODS[name]):
        assert f"        {field.name}: " in text
