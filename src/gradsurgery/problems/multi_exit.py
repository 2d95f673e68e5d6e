"""CIFAR-100 with classifiers along the depth of one network: the tasks are the exits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from gradsurgery.core.classification import Answers, Labelled
from gradsurgery.core.discovery import make
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import CIFAR_MEAN, CIFAR_SD, check_cifar, coloured, cut, device_of
from gradsurgery.core.settings import OneSet, check_sizes
from gradsurgery.problems._exits import ExitTraining, at_every_exit, check_classes, exit_names

DATA_CARD = """\
CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test colour pictures of 32 x 32 in 100 classes, 500 and 100 of
each. As in the papers on multi-exit networks 5,000 training pictures are kept for validation, 50 of each class here;
which ones the papers kept is not published. Training pictures are shifted by up to 4 pixels and mirrored."""

_SHIFT = 4


@dataclass(frozen=True, kw_only=True)
class _Training(ExitTraining):
    """As for `ExitTraining`."""

    batch_size: int = 64


class MultiExit(Labelled):
    """Classify the same picture at every exit; the exit that is task k + 1 sees all that the one of task k has seen.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields, but for the number of exits and classes.
        training: data, rate and schedule, whose fields are settings beside the others.
        network_fields: more fields of the network, for those that belong to a scale rather than to a line of the table.
        exits: number of exits.
        num_classes: number of classes.
        augment: whether training pictures are shifted and mirrored.
    """

    chunk = 500

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
        fields, own = {**(network_fields or {}), **network}, {"num_tasks": exits, "num_classes": num_classes}
        super().__init__(arrays, exit_names(exits), fields, own, training)
        self._augment = augment
        check_classes({split: labels for split, (_, labels) in self._splits.items()}, num_classes)

    def augmented(
        self, images: UInt8[np.ndarray, "n 32 32 3"], generator: np.random.Generator
    ) -> UInt8[np.ndarray, "n 32 32 3"]:
        if not self._augment:
            return images
        shifts = generator.integers(0, 2 * _SHIFT + 1, (len(images), 2))
        return shifted(images, shifts, generator.integers(0, 2, len(images)).astype(bool))

    def answers(self, network: Network, images: Tensor, labels: Tensor) -> Answers:
        return at_every_exit(network(coloured(images, device_of(network), CIFAR_MEAN, CIFAR_SD)), labels)


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
    return cut(source, own.seed)


def shifted(
    images: UInt8[np.ndarray, "n 32 32 3"], shifts: Int64[np.ndarray, "n 2"], mirrored: Bool[np.ndarray, " n"]
) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Cuts of 32 x 32 out of pictures with a black margin of 4, (4, 4) being the picture itself; some mirrored."""
    padded = np.pad(images, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)))
    places = np.arange(images.shape[1])
    rows, columns = shifts[:, :1] + places, shifts[:, 1:] + places
    columns[mirrored] = columns[mirrored, ::-1]
    return padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
