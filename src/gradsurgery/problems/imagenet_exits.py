"""ImageNet with classifiers along the depth of one network: the tasks are the exits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from gradsurgery.core.classification import Answers, Classification
from gradsurgery.core.discovery import make
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import coloured, device_of, whole_batches
from gradsurgery.core.settings import OneSet, check, check_sizes
from gradsurgery.problems._album import IMAGENET_MEAN, IMAGENET_SD, TRIES, albums_of, divided, middle_cut, random_cut
from gradsurgery.problems._exits import ExitTraining, at_every_exit, check_classes, exit_names

DATA_CARD = """\
ImageNet-1K (Russakovsky et al. 2015), for non-commercial research and not to be passed on: the user's own copy, 1,000
folders of train/ (1,281,167 pictures) and of val/ (50,000). 50 training pictures of every class validate, as in the
code of MSDNet; val/ is the test set, as everywhere. Training pictures are cut at random and mirrored, others are cut
from their middle. The twin is another thing in the same form: noisy stripes of ten directions; its numbers are not
ImageNet's. Never run on the real data here."""

_SHOWN = 224 / 256  # share of the shorter side that is judged
_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class _Training(ExitTraining):
    """As for `ExitTraining`."""

    batch_size: int = 256


class ImageNetExits(Classification):
    """Classify the same picture at every exit; the exit that is task k + 1 sees all that the one of task k has seen.

    Source: experiments of Meta-GF (ECCV 2022) and DR-MGF (arXiv 2305.19844) on MSDNet with 5 exits; the schedule is
    that of MSDNet's code: SGD at 0.1, momentum 0.9, a tenth after 30 and 60 of 90 epochs, decay 1e-4, batches of 256.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields, but for the number of exits and classes.
        training: data, rate and schedule, whose fields are settings beside the others.
        folder: where the files are that the arrays name; nothing is read of it where the arrays hold pictures.
        exits: number of exits.
        num_classes: number of classes.
        size: height and width of what is shown to the network.
        twin: whether the pictures are drawn, which tables then say.

    Departures:
        1. A picture that is judged is cut and made smaller in one step, not made smaller and then cut.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training, folder: str = "data/own/imagenet",
        exits: int = 5, num_classes: int = 1000, size: int = 224, twin: bool = False,
    ):  # fmt: skip
        check_sizes({"exits": (exits, 2), "num_classes": (num_classes, 2)})
        check({"size": (size, 32)}, {})
        own = {"num_tasks": exits, "num_classes": num_classes}
        super().__init__(exit_names(exits), network, own, training)
        self._size, self._albums = size, albums_of(arrays, training, folder, twin)
        check_classes({split: album.labels for split, album in self._albums.items()}, num_classes)
        self.test_rows = len(self._albums["test"]) if arrays else None

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[UInt8[Tensor, "n size size 3"], Int64[Tensor, " n"]]]:
        """One epoch in a fresh order; the last, smaller batch is left out. Pictures stay bytes until the device has
        them."""
        album, n = self._albums["train"], self._training.batch_size
        chosen = ((places, augmentation.random((n, 4 * TRIES + 1))) for places in whole_batches(order, len(album), n))
        for rows, images in album.batches(chosen, partial(random_cut, size=self._size)):
            yield torch.from_numpy(images), torch.from_numpy(album.labels[rows])

    def parts(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        album = self._albums[split]
        for rows, images in album.whole(_CHUNK, partial(middle_cut, size=self._size, share=_SHOWN)):
            yield torch.from_numpy(images), torch.from_numpy(album.labels[rows])

    def answers(self, network: Network, images: Tensor, labels: Tensor) -> Answers:
        return at_every_exit(network(coloured(images, device_of(network), IMAGENET_MEAN, IMAGENET_SD)), labels)


@dataclass(frozen=True, kw_only=True)
class _Preparation(OneSet):
    """What `prepare` reads.

    Args:
        held: training pictures of every class that validate.
    """

    held: int = 50


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Keeps some pictures of every class for validation; see `DATA_CARD`.

    Args:
        raw: data set -> {train,test}_labels (N,), and {train,test}_files (N, bytes) or {train,test}_images.
        settings: `left`, the data set; `seed`; `held`.

    Returns:
        {train,val,test}_{files or images, labels} in random order, so that any first n are a fair sample.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    return divided(raw[own.left], own.held, own.seed)
