"""CIFAR-100 as 20 tasks: each tells apart the five classes of one superclass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, Shaped, UInt8
from torch import Tensor

from gradsurgery.core.classification import Answers, Classification
from gradsurgery.core.discovery import make
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import CIFAR_MEAN, CIFAR_SD, check_cifar, coloured, device_of, permutation
from gradsurgery.core.settings import OneSet, check_rows
from gradsurgery.core.training import Training

DATA_CARD = """\
CIFAR-100 (Krizhevsky 2009) in the multi-task form of Rosenbaum et al. (2018), taken over by Yu et al. (2020): the 20
superclasses are 20 tasks, and a picture belongs to one task only, that of its superclass, where it is to be told from
the other four classes. A task has 2,500 training and 500 test pictures; 250 of the former, 50 of every class, are kept
for validation here. Classes are numbered 0 to 4 within their superclass. (A published loader of this problem numbers
them by remainder, class mod 5, which gives two classes of one superclass the same number in every superclass.)"""

TASKS = (
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables", "electrical_devices", "furniture",
    "insects", "large_carnivores", "large_outdoor_things", "large_outdoor_scenes", "large_omnivores_and_herbivores",
    "medium_mammals", "invertebrates", "people", "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
)  # fmt: skip

# The superclass of every class, in the alphabetical order of the classes.
SUPERCLASS = np.array([
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10,
    12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16,
    12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14,
    13,
])  # fmt: skip
_CLASSES = 5  # of each superclass, where a class has its place by the alphabet:
RANK = np.array([np.flatnonzero(task == SUPERCLASS).tolist().index(fine) for fine, task in enumerate(SUPERCLASS)])

_VAL_SHARE = 10  # one training picture in ten of every class


@dataclass(frozen=True, kw_only=True)
class _Training(Training):
    """Of Adam."""

    batch_size: int = 8
    lr: float = 1e-3


class Superclass(Classification):
    """Tell apart the five classes of a superclass; every step sees equally many pictures of all 20 superclasses.

    Accuracies are per task; the paper prints their mean, the share of test pictures that a network which is told the
    superclass puts into the right class. Sizes, that of a batch too, count pictures of one task.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields, but for the number of tasks and classes.
        training: data, rate and schedule, whose fields are settings beside the others.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training):
        super().__init__(TASKS, network, {"num_tasks": len(TASKS), "num_classes": _CLASSES}, training)
        sizes = training.sizes if arrays else {}
        self._splits = {split: _by_task(arrays, split, size) for split, size in sizes.items()}
        if arrays:
            check_rows({split: labels.shape[1] for split, (_, labels) in self._splits.items()}, training.batch_size)
        rows = int(self._splits["test"][1].shape[1]) if arrays else 0
        self.test_rows = dict.fromkeys(TASKS, rows) if arrays else None

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[UInt8[Tensor, "tasks batch 32 32 3"], Int64[Tensor, "tasks batch"]]]:
        """One epoch, each task in a fresh order of its own; row k is task k. Nothing is augmented."""
        images, labels = self._splits["train"]
        orders = order.permuted(np.tile(np.arange(images.shape[1]), (len(TASKS), 1)), axis=1)
        size = self._training.batch_size
        for start in range(0, images.shape[1] - size + 1, size):
            chosen = np.arange(len(TASKS))[:, None], orders[:, start : start + size]
            yield torch.from_numpy(images[chosen]), torch.from_numpy(labels[chosen].astype(np.int64))

    def parts(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self._splits[split]
        for start in range(0, images.shape[1], 50):
            part = np.s_[:, start : start + 50]
            yield torch.from_numpy(images[part].copy()), torch.from_numpy(labels[part].astype(np.int64))

    def answers(self, network: Network, images: Tensor, labels: Tensor) -> Answers:
        device = device_of(network)
        return network(coloured(images, device, CIFAR_MEAN, CIFAR_SD)), labels.to(device).unbind()


_Preparation = OneSet


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Sorts the pictures by task and keeps a tenth of every class for validation; see `DATA_CARD`.

    Args:
        raw: data set -> {train,test}_images (N, 32, 32, 3) and {train,test}_labels (N,), the classes 0 to 99.
        settings: `left`, the data set, and `seed`.

    Returns:
        {train,val,test}_images (n, 20, 32, 32, 3) and _labels (n, 20, 2: superclass and place in it), uint8, and
        `val_index` (n, 20), the places of the validation pictures in the data set's training pictures. Column k is
        task k, in random order, so that any first n are a fair sample.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    source = raw[own.left]
    # Words of the bit generator instead of numpy's `permutation`: only the former is promised never to change.
    words = np.random.Philox(own.seed)
    arrays: dict[str, np.ndarray] = {}
    check_cifar(source)
    for part in ("train", "test"):
        images, labels = source[f"{part}_images"], source[f"{part}_labels"]
        if labels.max() >= len(SUPERCLASS):
            raise ValueError(f"`{part}_labels` must be from 0 to {len(SUPERCLASS) - 1}, found {labels.max()}.")
        counts = np.bincount(labels, minlength=len(SUPERCLASS))
        if counts.min() != counts.max():
            raise ValueError(f"`{part}_labels` must hold all classes equally, found {counts.min()} to {counts.max()}.")
        order = permutation(words, len(labels))
        by_class = order[np.argsort(labels[order], kind="stable")].reshape(len(SUPERCLASS), -1)
        is_val = np.isin(order, by_class[:, : counts[0] // _VAL_SHARE])
        splits = {"test": order} if part == "test" else {"train": order[~is_val], "val": order[is_val]}
        for split, index in splits.items():
            task = SUPERCLASS[labels[index]]
            columns = np.stack([index[task == k] for k in range(len(TASKS))], axis=1)
            pairs = np.stack([SUPERCLASS[labels[columns]], RANK[labels[columns]]], axis=-1)
            arrays |= {f"{split}_images": images[columns], f"{split}_labels": pairs.astype(np.uint8)}
            arrays |= {"val_index": columns} if split == "val" else {}
    return arrays


def _by_task(arrays: Mapping[str, np.ndarray], split: str, size: int) -> tuple[Shaped[np.ndarray, "tasks n ..."], ...]:
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    if size > len(images):
        raise ValueError(f"`{split}_size` must be at most {len(images)}, found {size}.")
    if labels.shape[1:] != (len(TASKS), 2) or (labels[..., 0] != np.arange(len(TASKS))).any():
        raise ValueError(f"`{split}_labels` must hold each of {len(TASKS)} tasks in its column, found another order.")
    if len(labels) and labels[..., 1].max() >= _CLASSES:
        raise ValueError(f"`{split}_labels` must be less than {_CLASSES}, found {labels[..., 1].max()}.")
    return np.asarray(images)[: size or None].swapaxes(0, 1), np.asarray(labels)[: size or None, :, 1].T
