"""WRN-28-2: the published size, what trains it, and its memory of its past."""

import pytest
import torch

from gradsurgery.core.discovery import build

_SMALL = {"num_classes": 5, "depth": 10, "width": 1}


def _size(parameters):
    return sum(p.numel() for p in parameters)


def test_it_has_the_published_size():
    network = build("networks", "wide_resnet")
    rotation = _size(network.rotation.parameters())
    assert rotation == 4 * 129
    assert _size(network.parameters()) - rotation == 1_467_610  # as Oliver et al. and FixMatch count WRN-28-2
    convolutions = [m for m in network.trunk.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len([m for m in convolutions if m.kernel_size == (3, 3)]) == 25
    assert len([m for m in convolutions if m.kernel_size == (1, 1)]) == 3


def test_heads_are_trained_by_their_own_loss_and_the_trunk_by_all():
    network = build("networks", "wide_resnet", **_SMALL)
    outputs = network(torch.randn(4, 3, 32, 32))
    assert [tuple(output.shape) for output in outputs] == [(4, 5), (4, 4), (4, 64)]
    shared = {id(p) for p in network.shared_parameters()}
    for output, own in zip(outputs, (network.classes, network.rotation, None), strict=True):
        network.zero_grad()
        output.square().sum().backward(retain_graph=True)
        reached = {id(p) for p in network.parameters() if p.grad is not None}
        assert reached == shared | ({id(p) for p in own.parameters()} if own else set())


def test_the_teacher_is_a_running_mean_that_nothing_trains():
    network = build("networks", "wide_resnet", **_SMALL)
    assert not list(network.teacher.parameters())
    weight, kept = network.trunk[0].weight, network.teacher.get_buffer("0.weight")
    values = []
    for step, share in enumerate((0.0, 0.5, 2 / 3, 0.7, 0.7)):
        weight.data.fill_(step + 1.0)
        expected = share * (values[-1] if values else 0.0) + (1 - share) * (step + 1.0)
        network.remember(0.7)
        values.append(expected)
        torch.testing.assert_close(kept, torch.full_like(kept, expected))
    assert int(network.steps) == 5
    again = build("networks", "wide_resnet", **_SMALL)
    again.load_state_dict(network.state_dict())
    pictures = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again.eval().teacher(pictures), network.eval().teacher(pictures))


def test_the_first_shortcut_starts_behind_the_first_activation():
    first, second = build("networks", "wide_resnet", **_SMALL | {"depth": 16}).eval().trunk[1:3]
    for block in (first, second):
        torch.nn.init.zeros_(block.branch[-1].weight)
    inputs = -torch.rand(2, 16, 8, 8)
    torch.testing.assert_close(second(inputs), inputs)
    assert float(first(inputs).mean().detach()) == pytest.approx(0.1 * float(inputs.mean()), rel=1e-3)


def test_a_depth_that_is_none_is_refused():
    with pytest.raises(ValueError, match="`depth` must be 6 n \\+ 4 with n from 1, found depth = 27"):
        build("networks", "wide_resnet", depth=27)
