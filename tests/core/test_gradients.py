"""`.grad` is shared with the user: what is there is added to, what no loss reached is left alone."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradsurgery import GradientSurgery, build
from tests.contracts import METHODS


def pair():
    return nn.Parameter(torch.tensor([1.0, 2.0, 3.0])), nn.Parameter(torch.tensor([0.5, -1.0]))


def losses(a):
    return [(a * torch.tensor([1.0, 2.0, -1.0])).sum(), (a.square() * torch.tensor([1.0, -1.0, 1.0])).sum()]


def plain(name, micro=1):
    """The direction alone."""
    a, _ = pair()
    surgery = GradientSurgery([a], METHODS[name])
    for _ in range(micro):
        surgery.accumulate(losses(a))
    surgery.aggregate()
    return surgery, a.grad.clone()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_an_auxiliary_gradient_is_added_whenever_it_came(name, when):
    _, d = plain(name, micro=2)
    a, _ = pair()
    surgery = GradientSurgery([a], METHODS[name])
    for moment in ("before", "first", "between", "second", "after"):
        if moment == when:
            (10.0 * a.sum()).backward()
        if moment in ("first", "second"):
            surgery.accumulate(losses(a))
        if moment == "second":
            surgery.aggregate()
    assert torch.equal(a.grad, d + 10.0)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_between_micro_batches_wipes_the_users_part_only(name, set_to_none):
    _, d = plain(name, micro=2)
    a, _ = pair()
    optimizer = torch.optim.SGD([a], lr=1.0)
    surgery = GradientSurgery([a], METHODS[name])
    (10.0 * a.sum()).backward()
    surgery.accumulate(losses(a))
    optimizer.zero_grad(set_to_none)
    surgery.accumulate(losses(a))
    surgery.aggregate()
    assert torch.equal(a.grad, d)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("set_to_none", [True, False, None])
def test_steps_add_up_unless_somebody_calls_zero_grad(name, set_to_none):
    a, _ = pair()
    optimizer = torch.optim.SGD([a], lr=1.0)
    surgery = GradientSurgery([a], METHODS[name])
    expected = torch.zeros(3)
    for _ in range(3):
        if set_to_none is not None:
            optimizer.zero_grad(set_to_none)
            expected.zero_()
        surgery.backward(losses(a))
        expected += surgery.direction
        assert torch.equal(a.grad, expected)


def test_without_an_earlier_gradient_grad_is_a_view_of_d():
    surgery, _ = plain("pcgrad")
    (a,) = surgery.parameters
    assert a.grad.data_ptr() == surgery.direction.data_ptr()
    torch.nn.utils.clip_grad_norm_([a], 1e-3)
    torch.testing.assert_close(surgery.direction.norm(), torch.tensor(1e-3))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("diagnose", [False, True])
def test_a_parameter_that_no_loss_reaches_is_left_alone(name, diagnose):
    a, b = pair()
    optimizer = torch.optim.AdamW([a, b], lr=0.1, weight_decay=0.1)
    surgery = GradientSurgery([a, b], METHODS[name])
    for micro in (1, 2):
        for _ in range(micro):
            surgery.accumulate(losses(a), diagnose)
        surgery.aggregate()
        assert a.grad.abs().sum() > 0.0
        assert b.grad is None
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(b, pair()[1])
    assert surgery.backward([losses(a)[0], b.sum()], diagnose=diagnose)  # reached by a later task
    assert b.grad is not None


def test_reached_in_one_micro_batch_is_reached():
    a, b = pair()
    surgery = GradientSurgery([a, b], build("sum"))
    surgery.accumulate([a.sum(), a.sum()])
    surgery.accumulate([b.sum(), a.sum()])
    surgery.aggregate()
    assert b.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", METHODS)
def test_frozen_and_unfrozen_later_is_as_it_is_now(name):
    a, b = pair()
    b.requires_grad_(False)
    surgery = GradientSurgery([a, b], METHODS[name])
    surgery.backward(losses(a))
    b.requires_grad_(True)
    a.grad = None
    both = [losses(a)[0] + b.sum(), losses(a)[1] - b.sum()]
    if surgery.state and surgery.weights is None and "gap" not in surgery.state:
        with pytest.raises(ValueError, match=r"`shared` must stay as it was .* set `state` to None"):
            surgery.backward(both)
        surgery.state = None
    fresh_a, fresh_b = pair()
    fresh = GradientSurgery([fresh_a, fresh_b], METHODS[name])
    fresh.generator.bit_generator.state = surgery.generator.bit_generator.state
    surgery.backward(both)
    fresh.backward([losses(fresh_a)[0] + fresh_b.sum(), losses(fresh_a)[1] - fresh_b.sum()])
    assert torch.equal(a.grad, fresh_a.grad)
    assert torch.equal(b.grad, fresh_b.grad)
    a.requires_grad_(False)
    surgery.state = None
    b.grad = None
    before = a.grad.clone()
    surgery.backward([b.sum(), b.square().sum()])
    assert torch.equal(a.grad, before)
    assert surgery.direction.shape == (2,)


def test_a_network_that_was_cast_later_is_as_it_is_now():
    network = nn.Linear(2, 2)
    surgery = GradientSurgery(network.parameters(), build("pcgrad"))
    surgery.backward(network(torch.ones(2)))
    network.zero_grad()
    network.double()
    surgery.backward(network(torch.ones(2).double()))
    assert surgery.jacobian.dtype == network.weight.grad.dtype == torch.float64


@pytest.mark.parametrize("name", METHODS)
def test_replaced_parameters_are_refused(name):
    trunk = nn.Linear(2, 2)
    surgery = GradientSurgery(trunk.parameters(), METHODS[name])
    surgery.backward(trunk(torch.ones(2)))
    trunk.load_state_dict({k: v.clone() for k, v in trunk.state_dict().items()}, assign=True)
    with pytest.raises(ValueError, match="`shared` must be in the graph of `losses`, found none of 2 parameters"):
        surgery.backward(trunk(torch.ones(2)))


@pytest.mark.parametrize("name", METHODS)
def test_two_engines_on_one_forward_pass(name):
    x, y = (nn.Parameter(torch.tensor([1.0, 2.0])) for _ in range(2))
    head = nn.Parameter(torch.tensor(2.0))

    def outputs():
        h = (x * y).exp() * head
        return [h[0], h[1] * 2 - h[0]]

    expected = []
    for p in (x, y):
        engine = GradientSurgery([p], METHODS[name])
        engine.backward(outputs(), inputs=[])
        expected.append(p.grad)
        p.grad = None
    sum(outputs()).backward(inputs=[head])
    own, head.grad = head.grad, None
    first, second = (GradientSurgery([p], METHODS[name]) for p in (x, y))
    both = outputs()
    first.backward(both, retain_graph=True, inputs=[])
    second.backward(both, inputs=[head])
    assert torch.equal(x.grad, expected[0])
    assert torch.equal(y.grad, expected[1])
    torch.testing.assert_close(head.grad, own)
    with pytest.raises(RuntimeError, match="second time"):
        both[0].backward()


@pytest.mark.parametrize("name", ["sum", "pcgrad"])
def test_an_auxiliary_loss_on_the_same_graph(name):
    a, _ = pair()
    surgery = GradientSurgery([a], METHODS[name])
    h = a.exp()
    surgery.backward([h[0], h[1]], retain_graph=True)
    h[2].backward()
    torch.testing.assert_close(a.grad, a.detach().exp())


@pytest.mark.parametrize("name", ["sum", "pcgrad", "gcond"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_trunks(name, reentrant):
    torch.manual_seed(0)
    trunk, x = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 2)), torch.randn(5, 3)
    surgery = GradientSurgery(trunk.parameters(), METHODS[name])
    torch.manual_seed(1)
    surgery.backward(trunk(x).square().mean(0))
    expected = surgery.direction.clone()
    trunk.zero_grad()
    again = GradientSurgery(trunk.parameters(), METHODS[name])
    torch.manual_seed(1)
    again.backward(checkpoint(trunk, x.requires_grad_(), use_reentrant=reentrant).square().mean(0))
    torch.testing.assert_close(again.direction, expected)


def test_an_interrupted_pass_gives_grad_back():
    a, _ = pair()
    surgery = GradientSurgery([a], build("pcgrad"))
    (3.0 * a.sum()).backward()
    earlier = a.grad
    h = a.exp()
    h.sum().backward()  # frees the graph
    expected = a.grad.clone()
    with pytest.raises(RuntimeError, match="second time"):
        surgery.backward([h[0], h[1]])
    assert a.grad is earlier
    assert torch.equal(a.grad, expected)
