"""A network that gives NaN is judged NaN on every problem: not at chance level, not zero, and not by an exception."""

import math

import numpy as np
import pytest
import torch

from gradsurgery.core import pictures, table
from gradsurgery.core.discovery import available, build
from gradsurgery.core.interfaces import Network
from gradsurgery.core.ranking import roc_auc, roc_auc_thresholds
from gradsurgery.problems.landscape import STARTS
from tests.arms import SETTINGS as ARMS
from tests.arms import goals, goals_of_fifty, skip_without_package

RNG = np.random.default_rng(0)


def _splits(**kinds):
    return {f"{split}_{kind}": array for split in ("train", "val", "test") for kind, array in kinds.items()}


def _bytes(*shape, high=255):
    return RNG.integers(0, high, shape).astype(np.uint8)


def _rows(sparse, values):
    labels = np.arange(24).reshape(12, 2) // 2 % 2
    made = _splits(
        continuous=RNG.standard_normal((12, 7)).astype(np.float32), nominal=_bytes(12, sparse, high=values),
        labels=labels.astype(np.uint8),
    )  # fmt: skip
    return made | {"cardinalities": np.full(sparse, values), "correlations": np.array([0.5, 0.3])}


_MLP = {"name": "mlp", "hidden": [4]}
PROBLEMS = {
    "overlay": (
        {"network": _MLP, "epochs": 1, "batch_size": 4},
        _splits(images=_bytes(4, 36, 36), labels=_bytes(4, 2, high=10)),
    ),
    "dial": (
        {"network": {"name": "fixed_heads", "width": 2}, "epochs": 1, "batch_size": 4},
        _splits(images=_bytes(4, 28, 28), labels=_bytes(4, high=10)),
    ),
    "multi_exit": (
        {"network": {"name": "sdn_resnet", "width": 4}, "epochs": 1, "exits": 7, "batch_size": 4},
        _splits(images=_bytes(4, 32, 32, 3), labels=_bytes(4, high=100)),
    ),
    "superclass": (
        {"network": {"name": "cnn", "width": 2, "hidden": 4}, "epochs": 1, "batch_size": 1},
        _splits(
            images=_bytes(3, 20, 32, 32, 3),
            labels=np.stack(np.broadcast_arrays(np.arange(20), _bytes(3, 20, high=5)), axis=-1).astype(np.uint8),
        ),
    ),
    "reconstruction": (
        {"network": {"name": "autoencoder"}, "epochs": 1, "batch_size": 4},
        _splits(
            images=_bytes(4, 32, 32, 3), patches=np.argsort(RNG.random((4, 64)), axis=1).astype(np.uint8),
        ),
    ),
    "dense": (
        {"network": {"name": "segnet", "width": 1}, "epochs": 1, "batch_size": 2, "scene": "camvid"},
        _splits(
            images=_bytes(2, 32, 32, 3), segmentation=_bytes(2, 32, 32, high=11).astype(np.int8),
            boundary=_bytes(2, 32, 32, high=2).astype(np.int8), distance=_bytes(2, 32, 32, high=200).astype(np.int16),
        ),
    ),
    "dense_by_picture": (
        {"network": {"name": "segnet", "width": 1}, "epochs": 1, "batch_size": 2, "scene": "cityscapes"},
        _splits(
            images=_bytes(2, 32, 32, 3), segmentation=_bytes(2, 32, 32, high=7).astype(np.int8),
            depth=RNG.random((2, 32, 32, 1)).astype(np.float32),
        ),
    ),
    "census": ({"network": {"name": "recommender"}, "epochs": 1, "batch_size": 4}, _rows(32, 4)),
    "synthetic": ({"network": {"name": "recommender"}, "epochs": 1, "batch_size": 4}, _rows(3, 4)),
    "arml": (
        {"network": {"name": "wide_resnet", "depth": 10, "width": 1}, "epochs": 1, "num_classes": 2, "labelled": 2,
         "batch_size": 4},
        _splits(images=_bytes(8, 32, 32, 3), labels=(np.arange(8) % 2).astype(np.uint8)),
    ),
    "imagenet_exits": (
        {"network": {"name": "msdnet_imagenet", "base": 1, "step": 1, "growth": 4, "width": 4}, "epochs": 1, "exits": 3,
         "size": 64, "batch_size": 4},
        _splits(images=_bytes(4, 72, 80, 3), labels=_bytes(4, high=100).astype(np.int16)),
    ),
    "imagenet_mae": (
        {"network": {"name": "masked_autoencoder", "width": 8, "heads": 2, "depth": 1}, "epochs": 1, "size": 64,
         "batch_size": 4, "classify": True},
        _splits(images=_bytes(4, 72, 80, 3), labels=_bytes(4, high=100).astype(np.int16),
                patches=np.argsort(RNG.random((4, 4)), axis=1).astype(np.uint16)),
    ),
    "ct_mae": (
        {"network": {"name": "masked_autoencoder", "width": 8, "heads": 2, "depth": 1, "channels": 1}, "epochs": 1,
         "size": 64, "batch_size": 4},
        _splits(images=_bytes(4, 72, 80, 3), labels=_bytes(4, high=100).astype(np.int32),
                patches=np.argsort(RNG.random((4, 4)), axis=1).astype(np.uint16)),
    ),
    "pascal_context": (
        {"network": {"name": "mobilenet_raspp", "width": 2}, "epochs": 1, "batch_size": 2},
        _splits(
            images=_bytes(2, 32, 32, 3), segmentation=_bytes(2, 32, 32, high=21).astype(np.int8),
            parts=_bytes(2, 32, 32, high=7).astype(np.int8), saliency=_bytes(2, 32, 32, high=2).astype(np.int8),
            normal=_bytes(2, 32, 32, 3, high=100).astype(np.int8),
        ) | {"trunk": np.full(1_843_264, 0.01, np.float32)},
    ),
    "celeba": (
        {"network": {"name": "celeba_cnn", "width": 2}, "epochs": 1, "batch_size": 4},
        _splits(images=_bytes(4, 64, 64, 3), labels=_bytes(4, 40, high=2)),
    ),
    "celeba_pretrained": (
        {"network": {"name": "celeba_resnet", "width": 2}, "epochs": 1, "batch_size": 4},
        _splits(images=_bytes(4, 64, 64, 3), labels=_bytes(4, 40, high=2)) | {"trunk": RNG.random(11790, np.float32)},
    ),
    "qm9": (
        {"network": _MLP, "epochs": 1, "batch_size": 4},
        {name: values.astype(np.float32) for name, values in
         _splits(features=RNG.standard_normal((4, 305)), targets=RNG.standard_normal((4, 11))).items()},
    ),
    "yeast": (
        {"network": {"name": "recommender"}, "epochs": 1, "batch_size": 4},
        _splits(
            continuous=RNG.standard_normal((12, 103)).astype(np.float32), nominal=_bytes(12, 0),
            labels=np.tile(np.arange(12)[:, None] % 2, 14).astype(np.uint8),
        ) | {"cardinalities": np.empty(0, np.int64)},
    ),
    "landscape": (
        {"landscape": "cagrad_toy", "steps": 1, "epochs": 1}, {"starts": np.array(STARTS["cagrad_toy"])},
    ),
    "metaworld": (ARMS, goals()),
    "metaworld_fifty": (ARMS, goals_of_fifty()),
}  # fmt: skip


def test_every_problem_is_here():
    assert set(PROBLEMS) == set(available("problems"))


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_a_network_of_nan_is_worth(name):
    skip_without_package(name.startswith("metaworld"))
    settings, arrays = PROBLEMS[name]
    problem = build("problems", name, arrays=arrays, **settings)
    network = problem.network(torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = problem.evaluate(network, "val").metrics
        for parameter in network.parameters():
            parameter.fill_(math.nan)
        found = problem.evaluate(network, "val").metrics
    assert all(math.isfinite(before[metric]) for metric in problem.metrics)
    for metric in (*problem.metrics, *(f"{task}.loss" for task in problem.tasks)):
        assert math.isnan(found[metric]), metric


class _Fixed(Network):
    """Gives back what it is fed."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        return tuple(inputs.unbind(dim=1))

    def shared_parameters(self):
        return [self.unused]


@pytest.mark.parametrize("place", [0, 5])
def test_one_output_in_ten_is_enough_and_the_other_task_keeps_its_metric(place):
    outputs = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))
    truth = outputs.argmax(dim=1)
    broken = outputs.clone()
    broken[place, 1] = math.nan
    answers = [([outputs[i : i + 5], broken[i : i + 5]], [truth[i : i + 5]] * 2) for i in (0, 5)]
    found = pictures.judge(_Fixed(), ["a", "b"], answers).metrics
    assert found["a.accuracy"] == 1.0
    assert math.isnan(found["b.accuracy"])

    scores = torch.randn(10, 2, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([[0.0, 0.0], [1.0, 1.0]] * 5)
    scores[place, 1] = math.nan
    found = table.judge(_Fixed(), (scores, labels), ["a", "b"]).metrics
    assert 0.0 <= found["a.auc"] <= 1.0
    for metric in ("auc", "auc_200", "loss"):
        assert math.isnan(found[f"b.{metric}"]), metric


def test_an_area_under_nan_is_nan():
    labels = np.array([0, 1, 0, 1])
    for scores in ([0.1, np.nan, 0.2, 0.3], [np.nan] * 4):
        assert math.isnan(roc_auc(labels, np.array(scores)))
        assert math.isnan(roc_auc_thresholds(labels, np.array(scores)))
