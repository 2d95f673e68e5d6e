"""ImageNet with classifiers along the depth of one network: the tasks are the exits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.pictures import judge, standardised
from gradsurgery.core.settings import OneSet, check, check_rows, check_sizes, network_of
from gradsurgery.core.training import Stepped
from gradsurgery.problems._album import IMAGENET_MEAN, IMAGENET_SD, TRIES, Album, divided, middle_cut, random_cut

DATA_CARD = """\
ImageNet-1K (Russakovsky et al. 2015), for non-commercial research and not to be passed on: the user's own copy, 1,000
folders of train/ (1,281,167 pictures) and of val/ (50,000). 50 training pictures of every class validate, as in the
code of MSDNet; val/ is the test set, as everywhere. Training pictures are cut at random and mirrored, others are cut
from their middle. The twin is another thing in the same form: noisy stripes of ten directions; its numbers are not
ImageNet's. Never run on the real data here."""

_SHOWN = 224 / 256  # share of the shorter side that is judged
_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class _Training(Stepped):
    """SGD, as in the papers."""

    batch_size: int = 256
    optimizer: Literal["adam", "sgd"] = "sgd"
    lr: float = 0.1
    gamma: float = 0.1


class ImageNetExits(Problem):
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
        self.tasks = tuple(f"exit{k + 1}" for k in range(exits))
        self.metrics = {f"{task}.accuracy": True for task in self.tasks}
        self.epochs, self.clip, self._training = training.all_epochs, training.clip, training
        self._network, self._own = network, {"num_tasks": exits, "num_classes": num_classes}
        self._size = size
        network_of(network, self._own, None)  # wrong fields of the network are found here, before any work
        if twin and any(name.endswith("_files") for name in arrays):
            raise ValueError("`twin` must be false for pictures from files, found true.")
        self._albums = {split: Album(arrays, split, n, folder) for split, n in training.sizes.items() if arrays}
        for split, album in self._albums.items():
            if len(album) and album.labels.max() >= num_classes:
                raise ValueError(f"`{split}_labels` must be less than {num_classes}, found {album.labels.max()}.")
        if arrays:
            check_rows({split: len(album) for split, album in self._albums.items()}, training.batch_size)
        self.test_rows = len(self._albums["test"]) if arrays else None

    def network(self, generator: torch.Generator) -> Network:
        return network_of(self._network, self._own, generator)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return self._training.optimizer_of(parameters)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        return self._training.schedule_of(optimizer)

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[UInt8[Tensor, "n size size 3"], Int64[Tensor, " n"]]]:
        """One epoch in a fresh order; the last, smaller batch is left out. Pictures stay bytes until the device has
        them."""
        album, n = self._albums["train"], self._training.batch_size
        places = order.permutation(len(album))
        chosen = (
            (places[start : start + n], augmentation.random((n, 4 * TRIES + 1)))
            for start in range(0, len(album) - n + 1, n)
        )
        for rows, images in album.batches(chosen, partial(random_cut, size=self._size)):
            yield torch.from_numpy(images), torch.from_numpy(album.labels[rows])

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        outputs, labels = _forward(network, *batch)
        return [cross_entropy(output, labels) for output in outputs]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Accuracies in [0, 1] and mean losses of every exit."""
        return judge(network, self.tasks, self._answers(network, self._albums[split]))

    def _answers(self, network: Network, album: Album) -> Iterator[Any]:
        for rows, images in album.whole(_CHUNK, partial(middle_cut, size=self._size, share=_SHOWN)):
            outputs, truth = _forward(network, torch.from_numpy(images), torch.from_numpy(album.labels[rows]))
            yield outputs, [truth] * len(outputs)


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


def _forward(network: Network, images: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    device = next(network.parameters()).device
    scaled = standardised(images.to(device), IMAGENET_MEAN, IMAGENET_SD)
    return network(scaled.permute(0, 3, 1, 2)), labels.to(device)
