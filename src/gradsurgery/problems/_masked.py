"""Large pictures that an album opens, some of whose patches are hidden: fill them in, and perhaps say what is seen."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8, UInt16
from torch import Tensor
from torch.nn.functional import cross_entropy

from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import first, whole_batches
from gradsurgery.core.settings import check, check_sizes
from gradsurgery.core.training import Declared
from gradsurgery.networks.masked_autoencoder import PATCH, MaskedAutoencoder
from gradsurgery.problems._album import Album, middle_cut
from gradsurgery.problems._holes import MaskedTraining, drawn_holes, holes_of, judge

_TASKS = ("l1", "ssim", "classification")
_CHUNK = 128
Batch = tuple[UInt8[Tensor, "n size size 3"], Bool[Tensor, "n grid grid"], Int64[Tensor, " n"]]


class MaskedPictures(Declared):
    """Tasks "l1", the mean absolute error of hidden pixels, "ssim", 1 - SSIM of the same, and perhaps "classification".

    Args:
        arrays: {val,test}_patches, what `drawn_patches` drew; empty for a problem that is only checked.
        network: `name` of the network, `masked_autoencoder`, and its fields, but for tasks, classes and size.
        training: data, rate and schedule.
        albums: of every split; empty without arrays.
        size: height and width of the pictures, a multiple of 32.
        hidden: share of the patches that are hidden.
        classes: their number where there is a third task, the class of the picture with its holes; else None.

    Raises:
        ValueError: a setting that cannot be, or arrays of another number of patches.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], network: dict, training: MaskedTraining, albums: Mapping[str, Album],
        size: int, hidden: float, classes: int | None = None,
    ):  # fmt: skip
        check_sizes({"size": (size, PATCH)})
        check({}, {"hidden": hidden})
        self._size, self._grid, self._albums = size, size // PATCH, albums
        self._hidden = round(hidden * self._grid**2)
        if not 1 <= self._hidden <= self._grid**2:
            raise ValueError(f"`hidden` must leave 1 to {self._grid**2} patches hidden, found hidden = {hidden}.")
        self.tasks = _TASKS[:2] if classes is None else _TASKS
        self.metrics = {"l1.loss": False, "ssim.loss": False}
        own = {"num_tasks": len(self.tasks), "size": size}
        if classes is not None:
            self.metrics["classification.accuracy"] = True
            own["num_classes"] = classes
        super().__init__(network, own, training, MaskedAutoencoder)
        sizes = training.sizes
        self._patches = {split: first(arrays, f"{split}_patches", sizes[split]) for split in ("val", "test") if arrays}
        for split, patches in self._patches.items():
            if patches.shape[1] != self._grid**2:
                raise ValueError(
                    f"`size` must be that of {patches.shape[1]} prepared patches in {split}, found size = {size}."
                )
        self.test_rows = len(albums["test"]) if albums else None

    @property
    @abstractmethod
    def scale(self) -> tuple[Sequence[float], Sequence[float]]:
        """Means and s.d. of the three channels in [0, 1], by which pictures are normalised."""

    def batches(self, order: np.random.Generator, augmentation: np.random.Generator) -> Iterator[Batch]:
        """One epoch in a fresh order, with fresh holes; pictures stay bytes until the device has them."""
        album, n = self._albums["train"], self._training.batch_size
        chosen = ((places, np.empty((n, 0))) for places in whole_batches(order, len(album), n))
        for rows, images in album.batches(chosen, self._whole):
            holes = drawn_holes(augmentation, n, self._grid**2, self._hidden)
            yield torch.from_numpy(images), holes, torch.from_numpy(album.labels[rows])

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        images, holes, labels = batch
        error, similarity, scores = judge(network, images, holes, *self.scale)
        found = [error.mean(), 1.0 - similarity.mean()]
        return found if scores is None else [*found, cross_entropy(scores, labels.to(scores.device))]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Over hidden pixels of every picture, mean over pictures: absolute error in standard deviations of the data,
        and 1 - SSIM; accuracy in [0, 1] and cross entropy of the class."""
        album, judged = self._albums[split], list[Tensor]()
        was_training = network.training
        network.eval()
        with torch.no_grad():
            for rows, images in album.whole(_CHUNK, self._whole):
                holes = holes_of(self._patches[split][rows], self._hidden)
                error, similarity, scores = judge(network, torch.from_numpy(images), holes, *self.scale)
                values = [error, 1.0 - similarity]
                if scores is not None:
                    truth = torch.from_numpy(album.labels[rows]).to(scores.device)
                    values += [cross_entropy(scores.float(), truth, reduction="none"), scores.argmax(dim=1) == truth]
                judged.append(torch.stack([value.double() for value in values]).cpu())
        network.train(was_training)
        rows_of = dict(zip((*(f"{task}.loss" for task in self.tasks), "classification.accuracy"),
                           torch.cat(judged, dim=1).numpy(), strict=False))  # fmt: skip
        metrics = {name: float(values.mean()) for name, values in rows_of.items()}
        if "classification.accuracy" in rows_of:
            rows_of["classification.accuracy"] = rows_of["classification.accuracy"] == 1.0
            if not np.isfinite(metrics["classification.loss"]):  # argmax takes NaN for the largest
                metrics["classification.accuracy"] = float("nan")
        return Evaluation(metrics, {name: rows_of[name] for name in self.metrics})

    @property
    def _whole(self) -> Any:
        return partial(middle_cut, size=self._size, share=1.0)


def drawn_patches(rows: Mapping[str, int], patches: int, seed: int) -> dict[str, UInt16[np.ndarray, "n patches"]]:
    """{split}_patches for so many rows of each split: for every picture a permutation of its patches (row by row), of
    which the first are hidden."""
    words = np.random.Philox([seed, 1])
    draws = {split: words.random_raw(n * patches).reshape(-1, patches) for split, n in rows.items()}
    return {f"{s}_patches": np.argsort(own, axis=1, kind="stable").astype(np.uint16) for s, own in draws.items()}
