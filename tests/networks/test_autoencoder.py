"""The autoencoder: one picture for every task, all parameters shared, and BatchNorm in the mode asked for."""

import pytest
import torch

from gradsurgery.core.discovery import build

INPUTS = torch.randn(5, 4, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fields", [{}, {"width": 6, "depth": 0}, {"width": 6, "depth": 1, "patch": 8}])
def test_every_task_gets_the_same_picture_and_trains_everything(fields):
    network = build("networks", "autoencoder", num_tasks=3, **fields)
    outputs = network(INPUTS)
    assert [output.shape for output in outputs] == [(5, 3, 32, 32)] * 3
    assert all(torch.equal(output, outputs[0]) for output in outputs)
    outputs[1].square().sum().backward()
    assert {id(p) for p in network.shared_parameters()} == {id(p) for p in network.parameters()}
    assert all(p.grad is not None for p in network.parameters())


def test_a_patch_of_the_output_lies_where_that_of_the_input_lay():
    network = build("networks", "autoencoder", width=8, depth=0)  # without blocks no patch sees another
    changed = INPUTS.clone()
    changed[:, :, 4:8, 8:12] += 1.0
    moved = (network(changed)[0] != network(INPUTS)[0]).any(dim=1)
    assert moved[:, 4:8, 8:12].all()
    moved[:, 4:8, 8:12] = False
    assert not moved.any()


@pytest.mark.parametrize(("norm", "still"), [("batch", False), ("frozen", True)])
def test_frozen_statistics_stay_as_they_start(norm, still):
    network = build("networks", "autoencoder", width=6, norm=norm)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    assert len(before) == 9
    training = network.train()(INPUTS)[0]
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers()) == still
    assert torch.allclose(training, network.eval()(INPUTS)[0]) == still
    assert any(
        p.requires_grad for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters()
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_tasks": 0}, "`num_tasks` must be at least 1, found num_tasks = 0"),
        ({"width": 0}, "`width` must be at least 1, found width = 0"),
        ({"depth": -1}, "`depth` must be at least 0, found depth = -1"),
        ({"norm": "layer"}, "`autoencoder.norm` must be one of 'batch', 'frozen', found 'layer'"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        build("networks", "autoencoder", **fields)
