"""ImageNet with three patches in four hidden: fill them in, and where asked for say what is seen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import cross_entropy

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import first, whole_batches
from gradsurgery.core.settings import OneSet, check, check_sizes
from gradsurgery.core.training import Declared
from gradsurgery.networks.masked_autoencoder import PATCH, MaskedAutoencoder
from gradsurgery.problems._album import IMAGENET_MEAN, IMAGENET_SD, albums_of, divided, middle_cut
from gradsurgery.problems._holes import MaskedTraining, drawn_holes, holes_of, judge

DATA_CARD = """\
ImageNet-1K (Russakovsky et al. 2015), for non-commercial research and not to be passed on: the user's own copy, 1,000
folders of train/ (1,281,167 pictures) and of val/ (50,000), which the paper judges on and which is the test set here;
50 training pictures of every class are kept for validation. A picture is the middle square of the file, 256 x 256,
as 64 patches, of which 48 are hidden: always the same in what is judged, drawn anew whenever a picture trains. The twin
is another thing in the same form: noisy stripes of ten directions. Never run on the real data here."""

TASKS = ("l1", "ssim", "classification")
_CHUNK = 128
Batch = tuple[UInt8[Tensor, "n size size 3"], Bool[Tensor, "n grid grid"], Int64[Tensor, " n"]]


class ImageNetMAE(Declared):
    """Tasks "l1", the mean absolute error of hidden pixels, "ssim", 1 - SSIM of the same, and perhaps "classification".

    Source: section IV of the Gradient Conductor, 2025, arXiv 2509.07252 (v2): pictures of 256 x 256, patches of 32, L1
    between normalised pictures and 1 - SSIM between pictures in [0, 1], weighted 0.85 and 0.15 (balancer `static`);
    AdamW at 2e-4 with decay 0.05, betas (0.9, 0.95), or (0.0, 0.95) where the method smooths gradients itself, 15
    epochs of which 2 warm up, cosine to 1e-6, 24 batches of 256 a step (rule `joint`), bfloat16 (ours to say).

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network, `masked_autoencoder`, and its fields, but for tasks, classes and size.
        training: data, rate and schedule, whose fields are settings beside the others.
        folder: where the files are that the arrays name; nothing is read of it where the arrays hold pictures.
        size: height and width of the pictures, a multiple of 32.
        hidden: share of the patches that are hidden.
        classify: whether there is a third task, the class of the picture with its holes.
        num_classes: number of classes.
        twin: whether the pictures are drawn, which tables then say.

    Departures:
        1. What is not stated is as in `reconstruction`: hidden patches are 0 (the mean colour), SSIM's window is a
           Gaussian of 1.5 pixels over 11 x 11, visible pixels of the output are replaced by the true ones before SSIM,
           and rates change per epoch. Nor are the patches, drawn evenly here, or whether pictures are mirrored: no.
        2. BatchNorm is in training mode for every method; the official code has it in evaluation mode throughout.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], network: dict, training: MaskedTraining,
        folder: str = "data/own/imagenet", size: int = 256, hidden: float = 0.75, classify: bool = False,
        num_classes: int = 1000, twin: bool = False,
    ):  # fmt: skip
        check_sizes({"size": (size, PATCH), "num_classes": (num_classes, 2)})
        check({}, {"hidden": hidden})
        self._size, self._grid = size, size // PATCH
        self._hidden = round(hidden * self._grid**2)
        if not 1 <= self._hidden <= self._grid**2:
            raise ValueError(f"`hidden` must leave 1 to {self._grid**2} patches hidden, found hidden = {hidden}.")
        self.tasks = TASKS if classify else TASKS[:2]
        self.metrics = {"l1.loss": False, "ssim.loss": False} | ({"classification.accuracy": True} if classify else {})
        own = {"num_tasks": len(self.tasks), "num_classes": num_classes, "size": size}
        super().__init__(network, own, training, MaskedAutoencoder)
        self._albums, sizes = albums_of(arrays, training, folder, twin), training.sizes
        self._patches = {split: first(arrays, f"{split}_patches", sizes[split]) for split in ("val", "test") if arrays}
        for split, patches in self._patches.items():
            if patches.shape[1] != self._grid**2:
                raise ValueError(
                    f"`size` must be that of {patches.shape[1]} prepared patches in {split}, found size = {size}."
                )
        self.test_rows = len(self._albums["test"]) if arrays else None

    def batches(self, order: np.random.Generator, augmentation: np.random.Generator) -> Iterator[Batch]:
        """One epoch in a fresh order, with fresh holes; pictures stay bytes until the device has them."""
        album, n = self._albums["train"], self._training.batch_size
        chosen = ((places, np.empty((n, 0))) for places in whole_batches(order, len(album), n))
        for rows, images in album.batches(chosen, self._whole):
            holes = drawn_holes(augmentation, n, self._grid**2, self._hidden)
            yield torch.from_numpy(images), holes, torch.from_numpy(album.labels[rows])

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        images, holes, labels = batch
        error, similarity, scores = judge(network, images, holes, IMAGENET_MEAN, IMAGENET_SD)
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
                error, similarity, scores = judge(network, torch.from_numpy(images), holes, IMAGENET_MEAN, IMAGENET_SD)
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


@dataclass(frozen=True, kw_only=True)
class _Preparation(OneSet):
    """What `prepare` reads.

    Args:
        held: training pictures of every class that validate.
        patches: of a picture.
    """

    held: int = 50
    patches: int = 64


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """As for `imagenet_exits`, and draws the order in which patches are hidden; see `DATA_CARD`.

    Args:
        raw: data set -> {train,test}_labels (N,), and {train,test}_files (N, bytes) or {train,test}_images.
        settings: `left`, the data set; `seed`; `held`; `patches`.

    Returns:
        {train,val,test}_{files or images, labels} in random order, and {val,test}_patches (N, patches), uint16: for
        each picture a permutation of its patches (row by row), of which the first are hidden.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    arrays, words = divided(raw[own.left], own.held, own.seed), np.random.Philox([own.seed, 1])
    for split in ("val", "test"):
        draws = words.random_raw(len(arrays[f"{split}_labels"]) * own.patches).reshape(-1, own.patches)
        arrays[f"{split}_patches"] = np.argsort(draws, axis=1, kind="stable").astype(np.uint16)
    return arrays
