"""The network of the 20 tasks: rows by themselves, the same numbers as together, and the published layers."""

import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.core.surgery import GradientSurgery


def _network(**changes):
    torch.manual_seed(0)
    return build("networks", "cnn", **{"num_tasks": 3, "num_classes": 4, "width": 4, "hidden": 16, "size": 8} | changes)


def test_the_published_layers():
    network = build("networks", "cnn")
    convolutions = 160 * (27 + 1) + 2 * 160 * (160 * 9 + 1)
    assert sum(p.numel() for p in network.shared_parameters()) == convolutions + 320 * (2561 + 321)
    assert sum(p.numel() for p in network.heads.parameters()) == 20 * 5 * 321


def test_a_task_sees_its_own_row_and_nothing_else():
    network, x = _network(), torch.rand(3, 5, 3, 8, 8)
    outputs = network(x)
    assert [output.shape for output in outputs] == [(5, 4)] * 3
    changed = x.clone()
    changed[1] += 1.0
    again = network(changed)
    assert torch.equal(outputs[0], again[0])
    assert torch.equal(outputs[2], again[2])
    assert not torch.allclose(outputs[1], again[1])


def test_rows_by_themselves_give_the_gradients_of_one_pass_together():
    network, x = _network(), torch.rand(3, 5, 3, 8, 8)
    shared = network.shared_parameters()
    rows = []
    for separate in (True, False):
        if separate:
            outputs = network(x)
        else:
            together = network.trunks[0](x.flatten(0, 1)).unflatten(0, (3, 5))
            outputs = [head(together[k]) for k, head in enumerate(network.heads)]
        surgery = GradientSurgery(shared, build("aggregators", "pcgrad"))
        surgery.backward([output.square().mean() for output in outputs])
        rows.append((surgery.jacobian.clone(), surgery.weights))
    torch.testing.assert_close(rows[0][0], rows[1][0], rtol=1e-4, atol=1e-7)
    assert rows[0][1] == pytest.approx(rows[1][1], rel=1e-4)


def test_shared_parameters_are_those_that_every_task_trains():
    network = _network()
    reached = []
    for k in range(3):
        network.zero_grad()
        network(torch.rand(3, 5, 3, 8, 8))[k].square().sum().backward()
        reached.append({id(p) for p in network.parameters() if p.grad is not None})
    assert set.intersection(*reached) == {id(p) for p in network.shared_parameters()}
    assert set.union(*reached) == {id(p) for p in network.parameters()}


def test_separate_trunks_train_as_networks_of_their_own_do():
    x = torch.rand(3, 5, 3, 8, 8)
    network = _network(trunk="separate")
    alone = [torch.nn.Sequential(network.trunks[k], network.heads[k]) for k in range(3)]
    before = [[p.detach().clone() for p in one.parameters()] for one in alone]
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    surgery = GradientSurgery(network.shared_parameters(), build("aggregators", "sum"))
    for _ in range(3):
        optimizer.zero_grad()
        surgery.backward([output.square().mean() for output in network(x)])
        optimizer.step()
    together = [[p.detach().clone() for p in one.parameters()] for one in alone]
    for k, one in enumerate(alone):
        with torch.no_grad():
            for p, value in zip(one.parameters(), before[k], strict=True):
                p.copy_(value)
        optimizer = torch.optim.Adam(one.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            one(x[k]).square().mean().backward()
            optimizer.step()
        assert all(torch.equal(p, q) for p, q in zip(one.parameters(), together[k], strict=True))
        assert not all(torch.equal(p, q) for p, q in zip(one.parameters(), before[k], strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_tasks": 0}, "`num_tasks` must be at least 1, found num_tasks = 0"),
        ({"width": 0}, "`width` must be at least 1, found width = 0"),
        ({"size": 7}, "`size` must be at least 8, found size = 7"),
        ({"trunk": "split"}, "`cnn.trunk` must be one of 'shared', 'separate', found 'split'"),
    ],
)
def test_fields_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        _network(**changes)


def test_rows_and_heads_must_agree():
    with pytest.raises(ValueError, match="`inputs` must hold one row for each of 3 tasks, found 2"):
        _network()(torch.rand(2, 5, 3, 8, 8))
