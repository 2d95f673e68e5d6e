"""CIFAR-100 with classifiers along the depth of one network: the tasks are the exits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.pictures import (
    CIFAR_MEAN,
    CIFAR_SD,
    check_cifar,
    judge,
    permutation,
    splits_of,
    standardised,
    tenth_of_each,
)
from gradsurgery.core.settings import OneSet, check_sizes, network_of
from gradsurgery.core.training import Stepped

DATA_CARD = """\
CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test colour pictures of 32 x 32 in 100 classes, 500 and 100 of
each. As in the papers on multi-exit networks 5,000 training pictures are kept for validation, 50 of each class here;
which ones the papers kept is not published. Training pictures are shifted by up to 4 pixels and mirrored."""

_SHIFT = 4


@dataclass(frozen=True, kw_only=True)
class _Training(Stepped):
    """SGD, as in the papers."""

    batch_size: int = 64
    optimizer: Literal["adam", "sgd"] = "sgd"
    lr: float = 0.1
    gamma: float = 0.1


class MultiExit(Problem):
    """Classify the same picture at every exit; the exit that is task k + 1 sees all that the one of task k has seen.

    The constructor takes plain settings, and the methods `network` and `optimizer` make the objects they describe.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields, but for the number of exits and classes.
        training: data, rate and schedule, whose fields are settings beside the others.
        network_fields: more fields of the network, for those that belong to a scale rather than to a line of the table.
        exits: number of exits.
        num_classes: number of classes.
        augment: whether training pictures are shifted and mirrored.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        network: dict,
        training: _Training,
        exits: int = 7,
        num_classes: int = 100,
        augment: bool = True,
        network_fields: dict | None = None,
    ):
        check_sizes({"exits": (exits, 2), "num_classes": (num_classes, 2)})
        self.tasks = tuple(f"exit{k + 1}" for k in range(exits))
        self.metrics = {f"{task}.accuracy": True for task in self.tasks}
        self.epochs, self.clip, self._training = training.all_epochs, training.clip, training
        self._network = {**(network_fields or {}), **network}
        self._own = {"num_tasks": exits, "num_classes": num_classes}
        self._augment = augment
        network_of(self._network, self._own, None)  # wrong fields of the network are found here, before any work
        self._splits = splits_of(arrays, training.sizes, training.batch_size)
        self.test_rows = len(self._splits["test"][0]) if arrays else None
        for split, (_, labels) in self._splits.items():
            if len(labels) and labels.max() >= num_classes:
                raise ValueError(f"`{split}_labels` must be less than {num_classes}, found {labels.max()}.")

    def network(self, generator: torch.Generator) -> Network:
        return network_of(self._network, self._own, generator)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return self._training.optimizer_of(parameters)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        return self._training.schedule_of(optimizer)

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[UInt8[Tensor, "batch 32 32 3"], Int64[Tensor, " batch"]]]:
        """One epoch in a fresh order; pictures stay bytes until the device has them."""
        images, labels = self._splits["train"]
        permutation = order.permutation(len(images))
        size = self._training.batch_size
        for start in range(0, len(images) - size + 1, size):
            chosen = permutation[start : start + size]
            batch = images[chosen]
            if self._augment:
                n = len(chosen)
                shifts = augmentation.integers(0, 2 * _SHIFT + 1, (n, 2))
                batch = shifted(batch, shifts, augmentation.integers(0, 2, n).astype(bool))
            yield torch.from_numpy(batch), torch.from_numpy(labels[chosen].astype(np.int64))

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        images, labels = batch
        outputs, labels = _forward(network, images, labels)
        return [cross_entropy(output, labels) for output in outputs]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Accuracies in [0, 1] and mean losses of every exit."""
        return judge(network, self.tasks, self._answers(network, *self._splits[split]))

    def _answers(self, network: Network, images: Any, labels: Any) -> Iterator[Any]:
        for start in range(0, len(images), 500):
            part = slice(start, start + 500)
            truth = torch.from_numpy(labels[part].astype(np.int64))
            outputs, truth = _forward(network, torch.from_numpy(images[part].copy()), truth)
            yield outputs, [truth] * len(outputs)


_Preparation = OneSet


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Keeps a tenth of every class for validation; see `DATA_CARD`.

    Args:
        raw: data set -> {train,test}_images (N, 32, 32, 3) and {train,test}_labels (N,).
        settings: `left`, the data set, and `seed`.

    Returns:
        {train,val,test}_{images, labels}, uint8, and `val_index`, the places of the validation pictures in the data
        set's training pictures. All in random order, so that any first n are a fair sample.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    source = raw[own.left]
    check_cifar(source)
    words = np.random.Philox(own.seed)
    order = permutation(words, len(source["train_labels"]))
    is_val = tenth_of_each(source["train_labels"][order])
    chosen = {
        "train": ("train", order[~is_val]),
        "val": ("train", order[is_val]),
        "test": ("test", permutation(words, len(source["test_labels"]))),
    }
    arrays = {"val_index": chosen["val"][1]}
    for split, (part, index) in chosen.items():
        for kind in ("images", "labels"):
            arrays[f"{split}_{kind}"] = source[f"{part}_{kind}"][index]
    return arrays


def shifted(
    images: UInt8[np.ndarray, "n 32 32 3"], shifts: Int64[np.ndarray, "n 2"], mirrored: Bool[np.ndarray, " n"]
) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Cuts of 32 x 32 out of pictures with a black margin of 4, (4, 4) being the picture itself; some mirrored."""
    padded = np.pad(images, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)))
    places = np.arange(images.shape[1])
    rows, columns = shifts[:, :1] + places, shifts[:, 1:] + places
    columns[mirrored] = columns[mirrored, ::-1]
    return padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _forward(network: Network, images: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    device = next(network.parameters()).device
    scaled = standardised(images.to(device), CIFAR_MEAN, CIFAR_SD)
    return network(scaled.permute(0, 3, 1, 2)), labels.to(device)
