"""Sketch: which of ten digits is it, and is it odd? Two tasks on one small picture."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import cross_entropy

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import judge, permutation, splits_of
from gradsurgery.core.settings import OneSet
from gradsurgery.core.training import Declared, Stepped

DATA_CARD = """\
Pictures of 8 x 8 pixels of handwritten digits, as scikit-learn carries them: 1,797 of the test part of UCI's Optical
Recognition of Handwritten Digits. Three tenths of them, drawn at random, are the test set, and a fifth validates.
Writers are not told apart, so that a writer may be on both sides."""

TASKS = ("digit", "parity")
_CLASSES = 10  # of `digit`; every head is as wide, and that of `parity` learns to leave eight of them alone
_LARGEST = 16.0  # of a pixel


@dataclass(frozen=True, kw_only=True)
class _Training(Stepped):
    """As for `Stepped`."""

    batch_size: int = 64
    lr: float = 1e-3


class Sketch(Declared):
    """Tell the digit, and whether it is odd; metric: accuracy of each.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields.
        training: data, rate and schedule, whose fields are settings beside the others.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training):
        self.tasks = TASKS
        self.metrics = {f"{task}.accuracy": True for task in TASKS}  # True: higher is better
        super().__init__(network, {"num_tasks": len(TASKS), "num_classes": _CLASSES, "in_features": 64}, training)
        self._splits = splits_of(arrays, training.sizes, training.batch_size)
        self.test_rows = len(self._splits["test"][0]) if arrays else None

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[UInt8[Tensor, "batch 8 8"], Int64[Tensor, "batch 2"]]]:
        """One epoch in a fresh order, drawn from `order` and nothing else, so that all methods see the same."""
        images, labels = self._splits["train"]
        places, size = order.permutation(len(images)), self._training.batch_size
        for start in range(0, len(images) - size + 1, size):
            chosen = places[start : start + size]
            yield _tensors(images[chosen], labels[chosen])

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        """One a task, in the order of `tasks`."""
        outputs, truths = _answers(network, *batch)
        return [cross_entropy(output, truth) for output, truth in zip(outputs, truths, strict=True)]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Accuracies in [0, 1] and mean losses."""
        return judge(network, self.tasks, [_answers(network, *_tensors(*self._splits[split]))])


_Preparation = OneSet  # what `prepare` reads of params.yaml


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Cuts the one set into splits; see `DATA_CARD`.

    Args:
        raw: data set -> images (N, 8, 8) and labels (N,), the digits, as they are at their source.
        settings: `left`, the data set, and `seed`.

    Returns:
        {train,val,test}_{images (n, 8, 8), labels (n, 2)}, uint8. In random order, so that any first n are a fair
        sample.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    images, digits = raw[own.left]["images"], raw[own.left]["labels"]
    order = permutation(np.random.Philox(own.seed), len(digits))
    test, val = len(order) * 3 // 10, len(order) // 5
    labels = np.stack([digits, digits % 2], axis=1).astype(np.uint8)
    places = {"test": order[:test], "val": order[test : test + val], "train": order[test + val :]}
    arrays = {}
    for split, rows in places.items():
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images[rows].astype(np.uint8), labels[rows]
    return arrays


def _tensors(
    images: UInt8[np.ndarray, "n 8 8"], labels: UInt8[np.ndarray, "n 2"]
) -> tuple[UInt8[Tensor, "n 8 8"], Int64[Tensor, "n 2"]]:
    return torch.tensor(images), torch.tensor(labels, dtype=torch.int64)


def _answers(network: Network, images: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Outputs (n, 10) and true classes (n,) of every task, where the network is."""
    device = next(network.parameters()).device
    return network(images.to(device).float() / _LARGEST), labels.to(device).unbind(dim=1)
