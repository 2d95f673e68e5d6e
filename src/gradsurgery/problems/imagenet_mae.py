"""ImageNet with three patches in four hidden: fill them in, and where asked for say what is seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.pictures import first
from gradsurgery.core.settings import OneSet, check, check_rows, check_sizes, network_of
from gradsurgery.core.training import Training
from gradsurgery.networks.masked_autoencoder import PATCH, MaskedAutoencoder
from gradsurgery.problems._album import Album, divided, middle_cut
from gradsurgery.problems._holes import holes_of, judge, warmed_cosine

DATA_CARD = """\
ImageNet-1K (Russakovsky et al. 2015), for non-commercial research and not to be passed on: the user's own copy, 1,000
folders of train/ (1,281,167 pictures) and of val/ (50,000), which the paper judges on and which is the test set here;
50 training pictures of every class are kept for validation. A picture is the middle square of the file, 256 x 256,
as 64 patches, of which 48 are hidden: always the same in what is judged, drawn anew whenever a picture trains. The twin
is another thing in the same form: noisy stripes of ten directions. Never run on the real data here."""

TASKS = ("l1", "ssim", "classification")
_CHUNK = 128
Batch = tuple[UInt8[Tensor, "n size size 3"], Bool[Tensor, "n grid grid"], Int64[Tensor, " n"]]


@dataclass(frozen=True, kw_only=True)
class _Training(Training):
    """Of AdamW after warm-up; a batch is a micro-batch."""

    batch_size: int = 256
    lr: float = 2e-4
    weight_decay: float = 0.05
    clip: float | None = 50.0


class ImageNetMAE(Problem):
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
        betas: of AdamW.
        warmup: epochs over which the learning rate rises in even steps.
        lr_end: rate of the last epoch, down to which it falls by a cosine.
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
        self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training, folder: str = "data/own/imagenet",
        size: int = 256, hidden: float = 0.75, betas: tuple[float, ...] = (0.9, 0.95), warmup: int = 0,
        lr_end: float = 1e-6, classify: bool = False, num_classes: int = 1000, twin: bool = False,
    ):  # fmt: skip
        check_sizes({"size": (size, PATCH), "num_classes": (num_classes, 2)})
        check({"warmup": (warmup, 0), "lr_end": (lr_end, 0)}, {"hidden": hidden})
        self._grid = size // PATCH
        self._hidden, self._training = round(hidden * self._grid**2), training
        if not 1 <= self._hidden <= self._grid**2:
            raise ValueError(f"`hidden` must leave 1 to {self._grid**2} patches hidden, found hidden = {hidden}.")
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"`betas` must be two numbers from 0 to below 1, found betas = {tuple(betas)}.")
        self._betas = (betas[0], betas[1])
        if warmup > training.epochs:
            raise ValueError(f"`warmup` must be at most {training.epochs} epochs, found warmup = {warmup}.")
        if twin and any(name.endswith("_files") for name in arrays):
            raise ValueError("`twin` must be false for pictures from files, found true.")
        self.tasks = TASKS if classify else TASKS[:2]
        self.metrics = {"l1.loss": False, "ssim.loss": False} | ({"classification.accuracy": True} if classify else {})
        self.epochs, self.clip, self._size = training.epochs, training.clip, size
        self._share = partial(warmed_cosine, warmup, training.epochs, lr_end / training.lr)
        self._network = network
        self._own = {"num_tasks": len(self.tasks), "num_classes": num_classes, "size": size}
        if not isinstance(network_of(network, self._own, None), MaskedAutoencoder):
            raise ValueError(f"`network.name` must be masked_autoencoder, found {network['name']!r}.")
        sizes = training.sizes if arrays else {}
        self._albums = {split: Album(arrays, split, n, folder) for split, n in sizes.items()}
        self._patches = {split: first(arrays, f"{split}_patches", sizes[split]) for split in sizes if split != "train"}
        for split, patches in self._patches.items():
            if patches.shape[1] != self._grid**2:
                raise ValueError(
                    f"`size` must be that of {patches.shape[1]} prepared patches in {split}, found size = {size}."
                )
        if arrays:
            check_rows({split: len(album) for split, album in self._albums.items()}, training.batch_size)
        self.test_rows = len(self._albums["test"]) if arrays else None

    def network(self, generator: torch.Generator) -> Network:
        return network_of(self._network, self._own, generator)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        lr, decay = self._training.lr, self._training.weight_decay
        return torch.optim.AdamW(parameters, lr=lr, betas=self._betas, weight_decay=decay)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, self._share)

    def batches(self, order: np.random.Generator, augmentation: np.random.Generator) -> Iterator[Batch]:
        """One epoch in a fresh order, with fresh holes; pictures stay bytes until the device has them."""
        album, n = self._albums["train"], self._training.batch_size
        places = order.permutation(len(album))
        starts = range(0, len(album) - n + 1, n)
        for rows, images in album.batches(((places[s : s + n], np.empty((n, 0))) for s in starts), self._whole):
            patches = np.argsort(augmentation.random((n, self._grid**2)), axis=1, kind="stable")
            yield torch.from_numpy(images), holes_of(patches, self._hidden), torch.from_numpy(album.labels[rows])

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        error, similarity, scores = judge(network, *batch[:2])
        found = [error.mean(), 1.0 - similarity.mean()]
        return found if scores is None else [*found, cross_entropy(scores, batch[2].to(scores.device))]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Over hidden pixels of every picture, mean over pictures: absolute error in standard deviations of the data,
        and 1 - SSIM; accuracy in [0, 1] and cross entropy of the class."""
        album, judged = self._albums[split], list[Tensor]()
        was_training = network.training
        network.eval()
        with torch.no_grad():
            for rows, images in album.whole(_CHUNK, self._whole):
                holes = holes_of(self._patches[split][rows], self._hidden)
                error, similarity, scores = judge(network, torch.from_numpy(images), holes)
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
