"""Parameters and losses in the containers people use: taken as meant, or refused in one sentence."""

import collections

import pytest
import torch
from torch import nn

from gradsurgery import GradientSurgery, build


def engine(shared, **more):
    return GradientSurgery(shared, build("pcgrad"), **more)


@pytest.mark.parametrize(
    "kind",
    [
        list,
        tuple,
        iter,
        lambda pair: (loss for loss in pair),
        lambda pair: {"b": pair[0], "a": pair[1]},
        lambda pair: collections.OrderedDict(b=pair[0], a=pair[1]),
        torch.stack,
        lambda pair: torch.stack(pair).unbind(),
        lambda pair: [pair[0][None], pair[1]],
    ],
)
def test_losses_in_any_container(kind):
    w = nn.Parameter(torch.ones(3))
    surgery = engine([w])
    assert surgery.backward(kind([w.sum(), 2 * w[:2].sum()]))
    assert surgery.jacobian.tolist() == [[1, 1, 1], [2, 2, 0]]


def test_keys_keep_their_rows():
    w = nn.Parameter(torch.ones(3))
    surgery = engine([w])
    surgery.backward({"b": w.sum(), "a": 2 * w.sum()})
    surgery.backward({"a": 2 * w.sum(), "b": w.sum()})
    assert surgery.jacobian[:, 0].tolist() == [1, 2]
    surgery.backward([w.sum(), 2 * w.sum()])
    surgery.backward({"a": 2 * w.sum(), "b": None})
    assert surgery.jacobian[:, 0].tolist() == [0, 2]
    for wrong in ({"a": w.sum()}, {"a": w.sum(), "c": w.sum()}, {}):
        with pytest.raises(ValueError, match="`losses` must hold 'b', 'a', as before, with None for an absent task"):
            surgery.backward(wrong)


def test_a_list_may_get_names_later():
    w = nn.Parameter(torch.ones(3))
    surgery = engine([w])
    surgery.backward([w.sum(), 2 * w.sum()])
    surgery.backward({"b": w.sum(), "a": 2 * w.sum()})
    surgery.backward({"a": 2 * w.sum(), "b": w.sum()})
    assert surgery.jacobian[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        (lambda w: w.sum(), TypeError, r"`losses` must be a list, .*, found one tensor of shape \(\)"),
        (lambda w: torch.ones(2, 2) * w[0], TypeError, r"found one tensor of shape \(2, 2\)"),
        (lambda w: 1.0, TypeError, "found 1.0"),
        (lambda w: None, TypeError, "found None"),
        (lambda w: "ab", TypeError, "found 'ab'"),
        (lambda w: [w.sum(), 1.0], TypeError, r"`losses\[1\]` must be a tensor, or None .*, found 1.0"),
        (lambda w: {"a": w.sum(), "b": 1.0}, TypeError, r"`losses\['b'\]` must be a tensor"),
        (lambda w: [w.sum(), w], ValueError, r"`losses\[1\]` must be one real number, .* shape \(3,\)"),
        (
            lambda w: [w.sum() * 1j, w.sum()],
            ValueError,
            r"`losses\[0\]` must be one real number, found torch.complex64",
        ),
        (lambda w: [w.sum(), w.sum().detach()], ValueError, r"`losses\[1\]` must depend on a trainable parameter"),
        (lambda w: [], ValueError, "at least one loss, found 0"),
        (lambda w: {}, ValueError, "at least one loss, found 0"),
        (lambda w: [None, None], ValueError, "at least one task, found None only"),
    ],
)
@pytest.mark.parametrize("name", ["sum", "pcgrad"])
def test_losses_that_are_refused_leave_nothing_behind(what, error, message, name):
    w = nn.Parameter(torch.ones(3))
    surgery = GradientSurgery([w], build(name))
    with pytest.raises(error, match=message):
        surgery.backward(what(w))
    assert w.grad is None
    assert surgery.backward([w.sum()] * 3)  # K was not settled


@pytest.mark.parametrize(
    "kind",
    [
        list,
        iter,
        lambda ps: [{"params": ps[:1], "lr": 0.1}, {"params": iter(ps[1:])}],
        lambda ps: [{"params": ps[0]}, *ps],
        lambda ps: [("weight", ps[0]), ("bias", ps[1])],
        lambda ps: [{"params": [("weight", ps[0])]}, ps[1]],
    ],
)
def test_shared_in_any_container(kind):
    ps = list(nn.Linear(2, 3).parameters())
    assert engine(kind(ps), heads=kind(ps)).parameters == ps


class Own(nn.Parameter):
    """A user's own class of ordinary parameters."""


class Wrapped(torch.Tensor):
    """A subclass of Tensor with ordinary memory."""


@pytest.mark.parametrize("name", ["sum", "pcgrad", "sam_gs", "gcond"])
@pytest.mark.parametrize(
    "make",
    [
        lambda t: Own(t),
        lambda t: nn.Parameter(t.as_subclass(Wrapped)),
        lambda t: t.as_subclass(Wrapped).requires_grad_(),
        lambda t: t.requires_grad_(),
    ],
)
def test_subclasses_with_ordinary_memory_are_taken(make, name):
    p = make(torch.ones(3))
    assert GradientSurgery([p], build(name)).backward([p.sum(), p[:2].sum() * 2])
    q = nn.Parameter(torch.ones(3))
    GradientSurgery([q], build(name)).backward([q.sum(), q[:2].sum() * 2])
    assert torch.equal(torch.Tensor(p.grad), q.grad)


def test_frozen_parameters_of_any_type_are_dropped():
    w = nn.Parameter(torch.ones(2))
    frozen = [
        nn.Parameter(torch.zeros(2, dtype=dtype), requires_grad=False)
        for dtype in (torch.uint8, torch.complex64, torch.float8_e4m3fn, torch.float64, torch.bool)
    ]
    assert engine([*frozen, w]).parameters == [w]


def test_sparse_gradients_are_taken_as_dense_ones():
    table = nn.Embedding(4, 2, sparse=True)
    surgery = engine(table.parameters())
    ids = torch.tensor([1, 1, 3])
    assert surgery.backward([table(ids).sum(), table(ids[:1]).sum()])
    assert surgery.jacobian.view(2, 4, 2)[:, :, 0].tolist() == [[0, 2, 0, 1], [0, 1, 0, 0]]
    assert table.weight.grad.layout == torch.strided
    table.zero_grad()
    table(ids).sum().backward()  # an earlier gradient that is sparse
    surgery.backward([table(ids).sum(), table(ids[:1]).sum()])
    assert table.weight.grad[:, 0].tolist() == [0, 5, 0, 2]


class DTensor(nn.Parameter):
    """Stands for torch's."""


def flattened():
    p = nn.Parameter(torch.ones(2))
    p._fsdp_flattened = True
    return p


@pytest.mark.parametrize("name", ["shared", "heads"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(2, 2), "must be parameters, found the module Linear"),
        (lambda: nn.Parameter(torch.ones(2)), "must be several parameters or a list of one, found one Parameter"),
        (lambda: 3, "must be an iterable of parameters, found int"),
        (lambda: dict(nn.Linear(2, 2).named_parameters()), "must be an iterable of parameters, found dict"),
        (lambda: ["weight"], "must hold parameters, found str"),
        (lambda: [nn.LazyLinear(2).weight], "must have a shape, found UninitializedParameter: run the network"),
        (lambda: [nn.Parameter(torch.ones(2, dtype=torch.complex64))], "must be real, dense .*torch.complex64"),
        (lambda: [nn.Parameter(torch.ones(2, 2).to_sparse())], "must be real, dense .* torch.sparse_coo"),
        (lambda: [nn.Parameter(torch.ones(2).to(torch.float8_e4m3fn))], ".*16 to 64 bits, .*float8"),
        (lambda: [nn.Parameter(torch.ones(2)) * 2], ".*computed from others"),
        (lambda: [DTensor(torch.ones(2))], "must be whole parameters, found DTensor"),
        (lambda: [flattened()], "must be whole parameters, found Parameter"),
    ],
)
def test_parameters_that_are_refused(make, message, name):
    given = {"shared": [nn.Parameter(torch.ones(2))], "heads": []} | {name: make()}
    with pytest.raises(TypeError, match=f"`{name}` {message}"):
        engine(given["shared"], heads=given["heads"])
