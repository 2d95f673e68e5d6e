"""PASCAL-Context: the network's published size, the tasks that others do not have, and where the trunk starts."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_jaccard_index

from gradsurgery.core.discovery import build
from gradsurgery.dense.geometry import Normals
from gradsurgery.dense.pascal import TASKS, NormalBytes, Saliency
from gradsurgery.problems.pascal_context import prepare

_SETTINGS = {"network": {"name": "mobilenet_raspp", "width": 8}, "epochs": 1, "batch_size": 2}
_TRUNK = 1_811_712 + 2 * 15_776  # parameters, and running means and variances of its 15,776 normalised channels


@pytest.fixture(scope="module")
def arrays():
    rng, raw = np.random.default_rng(0), {}
    for split, n in (("train", 4), ("test", 3)):
        raw[f"{split}_images"] = rng.integers(0, 256, (n, 32, 32, 3)).astype(np.uint8)
        raw[f"{split}_segmentation"] = rng.integers(-1, 21, (n, 32, 32)).astype(np.int8)
        raw[f"{split}_parts"] = rng.integers(-1, 7, (n, 32, 32)).astype(np.int8)
        raw[f"{split}_saliency"] = rng.integers(0, 2, (n, 32, 32)).astype(np.int8)
        raw[f"{split}_normal"] = rng.integers(-127, 128, (n, 32, 32, 3)).astype(np.int8)
    trunk = rng.random(_TRUNK).astype(np.float32)
    return prepare({"x": raw, "w": {"trunk": trunk}}, {"left": "x", "right": "w", "seed": 0})


def test_the_shared_part_has_the_size_that_recons_table_implies():
    with torch.device("meta"):
        network = build("networks", "mobilenet_raspp")
    shared = sum(p.numel() for p in network.shared_parameters())
    # Table 4: four networks of one task take 30.09 MB, one of four 8.04: the difference is three shared parts.
    assert abs(shared - (30.09 - 8.04) / 3 * 2**20 / 4) < 900  # what rounding to 0.01 MB leaves open
    assert shared == 1_927_168


def test_outputs_are_of_the_pictures_size_and_train_their_own_heads():
    network = build("networks", "mobilenet_raspp", outputs=(2, 1), width=8)
    outputs = network(torch.rand(2, 3, 48, 32))
    assert [tuple(output.shape) for output in outputs] == [(2, 2, 48, 32), (2, 1, 48, 32)]
    outputs[0].square().sum().backward()
    reached = {id(p) for p in network.parameters() if p.grad is not None}
    heads = [network.high_heads[0], network.low_heads[0]]
    assert reached == {id(p) for p in network.shared_parameters()} | {
        id(p) for head in heads for p in head.parameters()
    }


def test_saliency_is_the_mean_over_pictures_at_the_best_threshold():
    rng, task = torch.Generator().manual_seed(0), Saliency()
    output, truth = torch.randn(5, 1, 6, 8, generator=rng), torch.randint(0, 2, (5, 6, 8), generator=rng)
    truth[4] = 0
    output[4] = -9.0  # nothing there and nothing said: 1
    found, pulls = task.conclude(task.tally(output, truth).numpy())
    means = [
        np.mean([
            1.0 if k == 4 else float(binary_jaccard_index(output[k, 0].sigmoid(), truth[k], threshold=threshold))
            for k in range(5)
        ])
        for threshold in np.linspace(0.2, 0.9, 15)
    ]  # fmt: skip
    assert found["miou"] == pytest.approx(max(means), abs=1e-6)
    assert pulls["miou"].mean() == pytest.approx(found["miou"])
    assert pulls["miou"][4] == 1.0


def test_saliencys_loss_weighs_each_side_by_the_share_of_the_other():
    output = torch.tensor([[[[0.3, -1.0, 2.0, 0.5]]]])
    truth = torch.tensor([[[1, 0, 0, 0]]])
    entropy = (
        -torch.log(torch.tensor([0.3]).sigmoid()) * 0.75 - 0.25 * torch.log(1 - output[0, 0, 0, 1:].sigmoid()).sum()
    )
    assert float(Saliency().loss(output, truth)) == pytest.approx(float(entropy) / 4, rel=1e-5)


def test_normals_of_bytes_are_those_of_numbers():
    rng = torch.Generator().manual_seed(0)
    true = torch.nn.functional.normalize(torch.randn(2, 6, 8, 3, generator=rng), dim=-1)
    true[0, :2] = 0
    output = torch.randn(2, 3, 6, 8, generator=rng)
    stored = (127 * true).round().to(torch.int8)
    assert float(NormalBytes().loss(output, stored)) == pytest.approx(float(Normals().loss(output, true)), abs=5e-3)
    torch.testing.assert_close(NormalBytes().tally(output, stored), Normals().tally(output, true), rtol=0.02, atol=0.02)
    stored[1, 0, 0] = torch.tensor([90, -45, -45], dtype=torch.int8)  # counts though it adds up to 0
    assert NormalBytes()._cosines(output, stored.float())[1].sum() == 80


def test_the_trunk_starts_from_the_given_weights(arrays):
    problem = build("problems", "pascal_context", arrays=arrays, **_SETTINGS)
    network = problem.network(torch.Generator().manual_seed(0))
    held = np.concatenate([v.numpy().ravel() for v in network.trunk.state_dict().values() if v.ndim])
    np.testing.assert_array_equal(held, arrays["trunk"])
    again = problem.network(torch.Generator().manual_seed(1))
    assert torch.equal(again.trunk[0][0].weight, network.trunk[0][0].weight)
    assert not torch.equal(again.joined[0].weight, network.joined[0].weight)
    with pytest.raises(ValueError, match=f"`trunk` must hold the {_TRUNK} numbers of the network, found \\(5,\\)"):
        build("problems", "pascal_context", arrays={**arrays, "trunk": np.zeros(5, np.float32)}, **_SETTINGS)


def test_a_run_of_two_steps_judges_every_task(arrays):
    problem = build("problems", "pascal_context", arrays=arrays, **_SETTINGS)
    network = problem.network(torch.Generator().manual_seed(0))
    for batch in problem.batches(np.random.default_rng(0), np.random.default_rng(1)):
        assert [tuple(truth.shape) for truth in batch[1]] == [(2, 32, 32)] * 3 + [(2, 32, 32, 3)]
        losses = problem.losses(network, batch)
        assert all(torch.isfinite(loss) for loss in losses)
    found = problem.evaluate(network, "test")
    assert set(problem.metrics) <= set(found.metrics)
    assert [name.split(".")[0] for name in problem.metrics if name.endswith("miou")] == list(TASKS)[:3]
    assert np.array_equal(arrays["val_parts"], arrays["train_parts"])
