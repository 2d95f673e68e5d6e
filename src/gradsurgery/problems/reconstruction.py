"""CIFAR-100 with three patches in four hidden: fill them in. The tasks are two ways to judge the same picture."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network
from gradsurgery.core.pictures import CIFAR_MEAN, CIFAR_SD, check_cifar, first, rows_of_splits, whole_batches
from gradsurgery.core.settings import OneSet, check, check_rows
from gradsurgery.core.training import Declared
from gradsurgery.problems._holes import Holes, MaskedTraining, drawn_holes, holes_of, judge

DATA_CARD = """\
CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test colour pictures of 32 x 32; 5,000 training pictures, 50 of
each of the 100 classes, are kept for validation. Labels serve this split only. A picture is 8 x 8 patches of 4 x 4, of
which a share (three quarters in the paper) is hidden. Every validation and test picture has its holes once and for all;
training pictures get new ones whenever they are seen. The paper's pictures are ImageNet (256 x 256, patches of 32 x 32)
and slices of CT scans, which are not here."""

_PLACES = 64  # patches of a picture, 8 x 8


@dataclass(frozen=True, kw_only=True)
class _Training(MaskedTraining):
    """As for `MaskedTraining`.

    Args:
        schedule: what follows warm-up: "cosine", or "constant".
    """

    schedule: Literal["constant", "cosine"] = "cosine"

    @property
    def floor(self) -> float:
        return super().floor if self.schedule == "cosine" else 1.0


class Reconstruction(Declared):
    """Tasks "l1", the mean absolute error of the hidden pixels, and "ssim", 1 - SSIM, at the same pixels.

    Source: section IV of the Gradient Conductor, 2025, arXiv 2509.07252 (v2): L1 between normalised pictures and
    1 - SSIM between pictures in [0, 1], both on hidden patches, weighted 0.85 and 0.15 (balancer `static`); AdamW with
    decay 0.05 and betas (0.9, 0.95), or (0.0, 0.95) where the method smooths gradients itself; batch 256 x 24.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields, but for `num_tasks`.
        training: data, rate and schedule, whose fields are settings beside the others.
        hidden: number of hidden patches, of 64.

    Departures:
        1. The paper states neither how the hidden patches look to a convolutional encoder nor SSIM's window: 0 (the
           mean colour) and a fourth channel that marks them; a Gaussian of 1.5 pixels over 11 x 11, mirrored at the
           border. Visible pixels of the output are replaced by the true ones before SSIM, whose map is averaged over
           hidden pixels.
        2. The official code trains with BatchNorm in evaluation mode. Here it is in training mode for every method
           alike; `norm: frozen` of the network is the official way.
        3. Learning rates change per epoch, not per step.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], network: dict, training: _Training, hidden: int = 48):
        check({"hidden": (hidden, 1)}, {})
        if hidden > _PLACES:
            raise ValueError(f"`hidden` must be at most {_PLACES}, found hidden = {hidden}.")
        self.tasks: tuple[str, ...] = ("l1", "ssim")
        self.metrics = {"l1.mae": False, "ssim.ssim": True}
        super().__init__(network, {"num_tasks": len(self.tasks)}, training)
        self._hidden = hidden
        sizes = training.sizes
        self._images = {split: first(arrays, f"{split}_images", sizes[split]) for split in sizes if arrays}
        self._patches = {s: first(arrays, f"{s}_patches", sizes[s]) for s in ("val", "test") if arrays}
        if arrays:
            check_rows({split: len(images) for split, images in self._images.items()}, training.batch_size)
        self.test_rows = len(self._images["test"]) if arrays else None

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[UInt8[Tensor, "batch 32 32 3"], Holes]]:
        """One epoch in a fresh order, with fresh holes; pictures stay bytes until the device has them."""
        images = self._images["train"]
        for places in whole_batches(order, len(images), self._training.batch_size):
            yield torch.from_numpy(images[places]), drawn_holes(augmentation, len(places), _PLACES, self._hidden)

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        images, holes = batch
        error, similarity, _ = judge(network, images, holes, CIFAR_MEAN, CIFAR_SD)
        return [error.mean(), 1.0 - similarity.mean()]

    def evaluate(self, network: Network, split: str) -> Evaluation:
        """Over hidden pixels: mean absolute error in standard deviations of the data, mean SSIM; losses likewise."""
        images, patches = self._images[split], self._patches[split]
        judged, totals = list[Tensor](), np.zeros(2)
        was_training = network.training
        network.eval()
        with torch.no_grad():
            for start in range(0, len(images), 500):
                part = slice(start, start + 500)
                shown, holes = torch.from_numpy(images[part].copy()), holes_of(patches[part], self._hidden)
                found = judge(network, shown, holes, CIFAR_MEAN, CIFAR_SD)[:2]
                judged.append(torch.stack(found).double().cpu())
                totals += [float(values.sum()) for values in judged[-1]]
        network.train(was_training)
        examples = dict(zip(self.metrics, torch.cat(judged, dim=1).numpy(), strict=True))
        mae, ssim = (totals / len(images)).tolist()
        return Evaluation({"l1.mae": mae, "ssim.ssim": ssim, "l1.loss": mae, "ssim.loss": 1.0 - ssim}, examples)


_Preparation = OneSet


def prepare(raw: Mapping[str, Mapping[str, np.ndarray]], settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Keeps a tenth of every class for validation and draws the order in which patches are hidden; see `DATA_CARD`.

    Args:
        raw: data set -> {train,test}_images (N, 32, 32, 3) and {train,test}_labels (N,).
        settings: `left`, the data set, and `seed`.

    Returns:
        {train,val,test}_images, uint8, in random order, so that any first n are a fair sample; {val,test}_patches
        (N, 64), uint8: for each picture a permutation of its patches (row by row), of which the first are hidden; and
        `val_index`, the places of the validation pictures in the data set's training pictures.
    """
    own: _Preparation = make(_Preparation, "prepare", settings)
    source = raw[own.left]
    check_cifar(source)
    words = np.random.Philox(own.seed)
    rows = rows_of_splits(source, words)
    arrays = {f"{split}_images": source[f"{part}_images"][places] for split, (part, places) in rows.items()}
    arrays["val_index"] = rows["val"][1]
    for split in ("val", "test"):
        draws = words.random_raw(len(arrays[f"{split}_images"]) * _PLACES).reshape(-1, _PLACES)
        arrays[f"{split}_patches"] = np.argsort(draws, axis=1, kind="stable").astype(np.uint8)
    return arrays
