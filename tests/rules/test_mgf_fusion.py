"""The arithmetic of DR-MGF against numbers by hand, and what it may not depend on."""

import numpy as np
import pytest
import torch
from torch import nn

from gradsurgery.rules._mgf_fusion import fused, gate, mixture, policy, resized, response, scan_points, scan_weight


def _tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def _kernels(rows):
    """(n, 1, 2) from one row of two kernels per task."""
    return _tensor(rows)[:, None, :]


# --- the gate


def test_gate_by_hand():
    importance = _tensor([[[5.0]], [[1.0]]])
    torch.testing.assert_close(response(importance).flatten(), _tensor([4.998126, 0.999925]), rtol=0, atol=1e-6)
    length = gate(importance, 0, 10.0)
    torch.testing.assert_close(length, _tensor([[4.634653]]), rtol=0, atol=1e-6)
    kernel = resized(_tensor([[[[3.0, 4.0]]]]), length)
    torch.testing.assert_close(kernel.flatten(), _tensor([2.780792, 3.707722]), rtol=0, atol=1e-6)


def test_a_row_of_large_importance_is_damped():
    damped = response(_tensor([[[100.0, 300.0]]]))
    torch.testing.assert_close(damped.flatten(), _tensor([97.10129, 291.30387]), rtol=0, atol=1e-5)


def test_the_own_task_has_ten_twelfths_of_the_gate_among_three():
    importance = torch.rand(3, 4, 5, dtype=torch.float64) + 0.1
    p = response(importance)
    torch.testing.assert_close(gate(importance, 1, 10.0), p[1] * 10 / 12 + (p[0] + p[2]) / 12)
    torch.testing.assert_close(gate(importance[:1], 0, 10.0), p[0])
    torch.testing.assert_close(gate(importance, None, 10.0), p.mean(dim=0))


def test_a_gate_of_the_kernels_own_lengths_hardly_shrinks_the_network():
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 6, 3)
    lengths = torch.linalg.vector_norm(conv.weight.detach(), dim=(2, 3))
    shrunk = resized(conv.weight, gate(lengths.expand(2, -1, -1), 0, 10.0))
    expected = conv.weight * (1 + 1e-4 * lengths.sum(dim=1))[:, None, None, None] ** -0.75
    torch.testing.assert_close(shrunk, expected)
    x = torch.randn(4, 8, 7, 7)
    same = torch.nn.functional.conv2d(x, resized(conv.weight, lengths), conv.bias)
    torch.testing.assert_close(same, conv(x), rtol=0, atol=1e-4)


def test_gated_gradients_are_orthogonal_to_their_kernels_whose_length_does_not_matter():
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    length = gate(torch.rand(2, 4, 3, dtype=torch.float64), 1, 10.0)
    x, target = torch.randn(5, 3, 8, 8, dtype=torch.float64), torch.randn(5, 4, 6, 6, dtype=torch.float64)
    out = torch.nn.functional.conv2d(x, resized(weight, length))
    (out - target).square().mean().backward()
    along = (weight.grad * weight.detach()).sum(dim=(2, 3)).abs()
    size = weight.grad.norm(dim=(2, 3)) * weight.detach().norm(dim=(2, 3))
    assert (along < 1e-10 * size).all()
    torch.testing.assert_close(torch.nn.functional.conv2d(x, resized(weight.detach() * 3.0, length)), out.detach())


def test_a_kernel_of_zeros_stays_finite():
    weight = torch.zeros(1, 1, 3, 3, requires_grad=True)
    out = resized(weight, gate(torch.zeros(2, 1, 1), 0, 10.0))
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(weight.grad).all()


# --- the fusion


def test_fusion_by_hand():
    importance = _kernels([[3.0, 1.0], [1.0, 1.0]])
    changes = [torch.ones(1, 2, 1, 1).double(), torch.full((1, 2, 1, 1), -3.0).double()]
    old = torch.zeros(1, 2, 1, 1).double()
    scale = torch.ones(2, 1, 2, dtype=torch.float64, requires_grad=True)
    moved = fused(old, changes, policy(scale, importance))
    torch.testing.assert_close(moved.flatten(), _tensor([-0.6, -5 / 3]))
    (gradient,) = torch.autograd.grad(moved.flatten()[0], scale)
    torch.testing.assert_close(gradient[:, 0, 0], _tensor([0.96, -0.96]))
    doubled = _kernels([[2.0, 2.0], [1.0, 1.0]])
    torch.testing.assert_close(fused(old, changes, policy(doubled, importance)).flatten(), _tensor([0.0, -1.0]))


@pytest.fixture
def random_unit():
    generator = torch.Generator().manual_seed(3)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return draw(4, 3, 2, 2), [draw(4, 3, 2, 2) for _ in range(3)], draw(3, 4, 3), draw(3, 4, 3)


def test_equal_importance_and_scales_give_the_mean(random_unit):
    old, changes, v, s = random_unit
    mean = old + sum(changes) / 3
    same = policy(s[:1].expand(3, -1, -1), v[:1].expand(3, -1, -1))
    torch.testing.assert_close(fused(old, changes, same), mean)
    torch.testing.assert_close(fused(old, changes, policy(s, v, "average")), mean)
    torch.testing.assert_close(fused(old, changes, policy(torch.zeros_like(s), v, "sigmoid")), mean)
    torch.testing.assert_close(fused(old, changes, None), mean)


@pytest.mark.parametrize("fusion", ["meta", "average", "sigmoid"])
def test_the_fused_parameter_lies_between_the_snapshots(random_unit, fusion):
    old, changes, v, s = random_unit
    snapshots = torch.stack([old + change for change in changes])
    moved = fused(old, changes, policy(s, v, fusion))
    assert (moved >= snapshots.amin(dim=0) - 1e-12).all()
    assert (moved <= snapshots.amax(dim=0) + 1e-12).all()
    torch.testing.assert_close(policy(s, v, fusion).sum(dim=0), torch.ones_like(s[0]))
    still = fused(old, changes[:1] * 3, policy(s, v, fusion))
    torch.testing.assert_close(still, old + changes[0])


def test_what_the_shares_do_not_depend_on(random_unit):
    _, _, v, s = random_unit
    pi = policy(s, v)
    torch.testing.assert_close(policy(-s, v), pi)
    torch.testing.assert_close(policy(s, -v), pi)
    torch.testing.assert_close(policy(s * 7.0, v), pi)
    longer = v.clone()
    longer[1, 2] *= 5.0
    torch.testing.assert_close(policy(s, longer), pi)
    assert not torch.allclose(gate(longer, 1, 10.0)[2], gate(v, 1, 10.0)[2])
    assert not torch.allclose(policy(s, v.flip(0)), pi)


def test_a_task_can_take_a_kernel_over(random_unit):
    old, changes, v, s = random_unit
    s[0] = 1e12
    torch.testing.assert_close(fused(old, changes, policy(s, v)), old + changes[0], rtol=1e-6, atol=1e-6)
    s[:2] = 0.0
    torch.testing.assert_close(fused(old, changes, policy(s, v)), old + changes[2])


def test_scales_learn_ratios_only(random_unit):
    old, changes, v, s = random_unit
    s.requires_grad_()
    direction = torch.randn(old.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (fused(old, changes, policy(s, v)) * direction).sum().backward()
    assert (s.grad.abs() > 1e-6).any()
    torch.testing.assert_close((s.detach() * s.grad).sum(dim=0), torch.zeros_like(s[0]).detach(), rtol=0, atol=1e-12)


def test_scales_of_zero_leave_the_parameter():
    old = torch.ones(1, 1)
    assert fused(old, [old, old], policy(torch.zeros(2, 1, 1))).item() == 1.0


def test_batch_norm_statistics_are_those_of_the_mixture():
    mean, variance = mixture([_tensor([0.0]), _tensor([2.0])], [_tensor([1.0]), _tensor([1.0])])
    assert (mean.item(), variance.item()) == (1.0, 2.0)


def test_line_scan():
    points = scan_points(0.5)
    assert len(points) == 20
    assert (points[0], points[-1]) == (-0.5, 0.5)
    losses = np.ones(20)
    for k in range(20):
        at = np.where(np.arange(20) == k, 0.0, losses)
        assert scan_weight(at, 0.5) == pytest.approx(max(0.0, 0.5 * (2 * k / 19 - 1)))
    assert scan_weight(np.where(np.arange(20) == 13, 0.0, losses), 0.5) == pytest.approx(0.184211, abs=1e-6)
    assert scan_weight(np.where(np.arange(20) == 9, 0.0, losses), 0.5) == 0.0
    assert scan_weight(np.where(np.arange(20) == 12, 0.0, np.full(20, np.nan)), 0.5) == pytest.approx(points[12])
