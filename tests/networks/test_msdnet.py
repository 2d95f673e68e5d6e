"""The multi-scale dense network: what is computed where, and who trains what."""

import pytest
import torch

from gradsurgery.core.discovery import build

SMALL = {"num_classes": 5, "base": 2, "step": 1, "growth": 4, "width": 4}


def _channels(network, size):
    """Channels and height of every scale after every layer."""
    seen = []
    handles = [
        layer.register_forward_hook(
            lambda module, inputs, out: seen.append([None if h is None else (h.shape[1], h.shape[2]) for h in out])
        )
        for layer in network.layers
    ]
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, size, size))
    for handle in handles:
        handle.remove()
    return seen


def test_scales_and_channels_of_the_published_network():
    network = build("networks", "msdnet")
    assert network.places == [3, 5, 7, 9, 11, 13, 15]
    seen = _channels(network, 32)
    assert len(seen) == 16
    # Parts of six layers: three scales, then two, then one; a drop halves what remains.
    assert [sum(h is not None for h in layer) for layer in seen] == [3] * 6 + [2] * 6 + [1] * 4
    assert seen[0] == [(16 + 16, 32), (32 + 32, 16), (64 + 64, 8)]
    assert seen[5] == [(16 * 7, 32), (32 * 7, 16), (64 * 7, 8)]
    assert seen[6] == [None, (32 * 8 // 2, 16), (64 * 8 // 2, 8)]
    assert seen[11] == [None, (128 + 5 * 32, 16), (256 + 5 * 64, 8)]
    assert seen[12] == [None, None, ((256 + 6 * 64) // 2, 8)]
    assert seen[15] == [None, None, (320 + 3 * 64, 8)]


def test_halves_come_from_both_scales_through_bottlenecks():
    network = build("networks", "msdnet")
    finest, coarsest = network.layers[1].units["0"], network.layers[1].units["2"]
    assert finest.finer is None
    shapes = [tuple(m.weight.shape) for m in finest.own.modules() if isinstance(m, torch.nn.Conv2d)]
    assert shapes == [(16, 32, 1, 1), (16, 16, 3, 3)]
    shapes = [tuple(m.weight.shape) for m in coarsest.modules() if isinstance(m, torch.nn.Conv2d)]
    assert shapes == [(128, 128, 1, 1), (32, 128, 3, 3), (64, 64, 1, 1), (32, 64, 3, 3)]
    assert network.layers[6].units["1"].finer is not None  # reads the scale that is dropped there
    assert network.layers[7].units["1"].finer is None


def test_a_first_step_of_two_halves_every_scale_and_exits_may_be_narrow():
    halved = build("networks", "msdnet", num_tasks=2, stride=2, exit_width=8, **SMALL)
    plain = build("networks", "msdnet", num_tasks=2, **SMALL)
    assert _channels(halved, 32) == _channels(plain, 16)
    assert [head[-1].weight.shape for head in halved.heads] == [(5, 8)] * 2
    assert [head[-1].weight.shape for head in plain.heads] == [(5, 128)] * 2


@pytest.mark.parametrize(("num_tasks", "scales", "channels", "size"), [(1, 1, 3, 32), (2, 3, 1, 36), (5, 3, 3, 32)])
def test_one_output_per_exit(num_tasks, scales, channels, size):
    network = build("networks", "msdnet", num_tasks=num_tasks, scales=scales, channels=channels, **SMALL)
    outputs = network(torch.rand(2, channels, size, size))
    assert [output.shape for output in outputs] == [(2, 5)] * num_tasks


@pytest.mark.parametrize(("num_tasks", "fields"), [(2, {}), (3, {"scales": 2}), (5, {}), (3, {"step": 2, "base": 1})])
def test_shared_is_what_more_than_one_exit_trains_and_nothing_is_idle(num_tasks, fields):
    network = build("networks", "msdnet", num_tasks=num_tasks, **(SMALL | fields))
    count = dict.fromkeys(network.parameters(), 0)
    for k in range(num_tasks):
        network.zero_grad()
        network(torch.rand(4, 3, 32, 32))[k].square().sum().backward()
        for p in count:
            count[p] += p.grad is not None
    assert min(count.values()) == 1
    shared = network.shared_parameters()
    assert {p for p, times in count.items() if times > 1} == set(shared)
    assert len(shared) == len(set(shared))


def test_nothing_is_left_out_of_the_published_network():
    network = build("networks", "msdnet")
    assert ["".join(layer.units) for layer in network.layers] == ["012"] * 6 + ["12"] * 6 + ["2"] * 4


def test_an_exit_does_not_see_what_lies_behind_it():
    network = build("networks", "msdnet", num_tasks=4, **SMALL).eval()
    x = torch.rand(2, 3, 32, 32)
    before = network(x)
    with torch.no_grad():
        for p in network.layers[network.places[1] + 1].parameters():
            p.add_(1.0)
    after = network(x)
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_tasks": 0}, "`num_tasks` must be at least 1, found num_tasks = 0"),
        ({"base": 0}, "`base` must be at least 1, found base = 0"),
        ({"growth": 3}, "`growth` must be even, found growth = 3"),
        ({"scales": 0}, "`scales` must be at least 1, found scales = 0"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        build("networks", "msdnet", **{"num_tasks": 2, **SMALL, **fields})
