"""PASCAL-Context: where the trunk starts, and a run that judges every task."""

import numpy as np
import pytest
import torch

from gradsurgery.core.discovery import build
from gradsurgery.dense.pascal import TASKS
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
