"""CIFAR-100 with three patches in four hidden: fill them in. The tasks are two ways to judge the same picture."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor, nn
from torch.nn.functional import pad

from gradsurgery.core.discovery import make
from gradsurgery.core.evaluation import Evaluation
from gradsurgery.core.interfaces import Network, Problem
from gradsurgery.core.pictures import CIFAR_MEAN, CIFAR_SD, check_cifar, first, permutation, tenth_of_each
from gradsurgery.core.settings import OneSet, check, check_rows, network_of
from gradsurgery.core.training import Training

DATA_CARD = """\
CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test colour pictures of 32 x 32; 5,000 training pictures, 50 of
each of the 100 classes, are kept for validation. Labels serve this split only. A picture is 8 x 8 patches of 4 x 4, of
which a share (three quarters in the paper) is hidden. Every validation and test picture has its holes once and for all;
training pictures get new ones whenever they are seen. The paper's pictures are ImageNet (256 x 256, patches of 32 x 32)
and slices of CT scans, which are not here."""

_SIDE, _GRID, _PATCH = 32, 8, 4
_SIGMA, _REACH = 1.5, 5  # SSIM's usual window: a Gaussian over 11 x 11 pixels
_C1, _C2 = 0.01**2, 0.03**2  # SSIM's usual constants, for pictures in [0, 1]

Holes = Bool[Tensor, "batch 8 8"]


@dataclass(frozen=True, kw_only=True)
class _Training(Training):
    """Of AdamW after warm-up; a batch is a micro-batch."""

    batch_size: int = 256
    lr: float = 2e-4
    weight_decay: float = 0.05
    clip: float | None = 50.0


class Reconstruction(Problem):
    """Tasks "l1", the mean absolute error of the hidden pixels, and "ssim", 1 - SSIM, at the same pixels.

    Source: section IV of the Gradient Conductor, 2025, arXiv 2509.07252 (v2): L1 between normalised pictures and
    1 - SSIM between pictures in [0, 1], both on hidden patches, weighted 0.85 and 0.15 (balancer `static`); AdamW with
    decay 0.05 and betas (0.9, 0.95), or (0.0, 0.95) where the method smooths gradients itself; batch 256 x 24.

    The constructor takes plain settings, and the methods `network` and `optimizer` make the objects they describe.

    Args:
        arrays: what `prepare` returned; may be empty for a problem that is only checked, not trained.
        network: `name` of the network and its fields, but for `num_tasks`.
        training: data, rate and schedule, whose fields are settings beside the others.
        hidden: number of hidden patches, of 64.
        betas: of AdamW.
        warmup: epochs over which the learning rate rises in even steps.
        schedule: what follows: "constant", or "cosine" to `lr_end` in the last epoch.
        lr_end: see `schedule`.

    Departures:
        1. The paper states neither how the hidden patches look to a convolutional encoder nor SSIM's window: 0 (the
           mean colour) and a fourth channel that marks them; a Gaussian of 1.5 pixels over 11 x 11, mirrored at the
           border. Visible pixels of the output are replaced by the true ones before SSIM, whose map is averaged over
           hidden pixels.
        2. The official code trains with BatchNorm in evaluation mode. Here it is in training mode for every method
           alike; `norm: frozen` of the network is the official way.
        3. Learning rates change per epoch, not per step.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        network: dict,
        training: _Training,
        hidden: int = 48,
        betas: tuple[float, ...] = (0.9, 0.95),
        warmup: int = 0,
        schedule: Literal["constant", "cosine"] = "cosine",
        lr_end: float = 1e-6,
    ):
        epochs, lr = training.epochs, training.lr
        check({"hidden": (hidden, 1), "warmup": (warmup, 0), "lr_end": (lr_end, 0)}, {})
        for name, value, most in (("hidden", hidden, _GRID**2), ("warmup", warmup, epochs)):
            if value > most:
                raise ValueError(f"`{name}` must be at most {most}, found {name} = {value}.")
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"`betas` must be two numbers from 0 to below 1, found betas = {tuple(betas)}.")
        self.tasks: tuple[str, ...] = ("l1", "ssim")
        self.metrics = {"l1.mae": False, "ssim.ssim": True}
        self.epochs, self.clip = epochs, training.clip
        self._network, self._training, self._hidden, self._betas = network, training, hidden, (betas[0], betas[1])
        self._rate = partial(_share, warmup, epochs, lr_end / lr if schedule == "cosine" else 1.0)
        self._own = {"num_tasks": len(self.tasks)}
        network_of(network, self._own, None)  # wrong fields of the network are found here, before any work
        sizes = training.sizes
        self._images = {split: first(arrays, f"{split}_images", sizes[split]) for split in sizes if arrays}
        self._patches = {s: first(arrays, f"{s}_patches", sizes[s]) for s in ("val", "test") if arrays}
        if arrays:
            check_rows({split: len(images) for split, images in self._images.items()}, training.batch_size)
        self.test_rows = len(self._images["test"]) if arrays else None

    def network(self, generator: torch.Generator) -> Network:
        return network_of(self._network, self._own, generator)

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        lr, decay = self._training.lr, self._training.weight_decay
        return torch.optim.AdamW(parameters, lr=lr, betas=self._betas, weight_decay=decay)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler | None:
        return torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)

    def batches(
        self, order: np.random.Generator, augmentation: np.random.Generator
    ) -> Iterator[tuple[UInt8[Tensor, "batch 32 32 3"], Holes]]:
        """One epoch in a fresh order, with fresh holes; pictures stay bytes until the device has them."""
        images = self._images["train"]
        permutation = order.permutation(len(images))
        size = self._training.batch_size
        for start in range(0, len(images) - size + 1, size):
            chosen = images[permutation[start : start + size]]
            patches = np.argsort(augmentation.random((len(chosen), _GRID**2)), axis=1, kind="stable")
            yield torch.from_numpy(chosen), _holes(patches, self._hidden)

    def losses(self, network: Network, batch: Any) -> list[Float[Tensor, ""]]:
        images, holes = batch
        error, similarity = judge(network, images, holes)
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
                holes = _holes(patches[part], self._hidden)
                judged.append(torch.stack(judge(network, torch.from_numpy(images[part].copy()), holes)).double().cpu())
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
    order = permutation(words, len(source["train_labels"]))
    is_val = tenth_of_each(source["train_labels"][order])
    arrays = {
        "train_images": source["train_images"][order[~is_val]],
        "val_images": source["train_images"][order[is_val]],
        "val_index": order[is_val],
        "test_images": source["test_images"][permutation(words, len(source["test_labels"]))],
    }
    for split in ("val", "test"):
        draws = words.random_raw(len(arrays[f"{split}_images"]) * _GRID**2).reshape(-1, _GRID**2)
        arrays[f"{split}_patches"] = np.argsort(draws, axis=1, kind="stable").astype(np.uint8)
    return arrays


def judge(
    network: Network, images: UInt8[Tensor, "batch 32 32 3"], holes: Holes
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Mean absolute error (of normalised pictures) and mean SSIM (of pictures in [0, 1]) over each picture's holes."""
    device = next(network.parameters()).device
    mean, sd = (torch.tensor(values, device=device).view(3, 1, 1) for values in (CIFAR_MEAN, CIFAR_SD))
    truth = images.to(device).permute(0, 3, 1, 2).float().div(255.0).contiguous()
    normalised = (truth - mean) / sd
    hole = holes.to(device).float()[:, None].repeat_interleave(_PATCH, 2).repeat_interleave(_PATCH, 3)
    for_error, for_similarity = network(torch.cat([normalised * (1.0 - hole), hole], dim=1))
    hidden = 3.0 * hole.sum(dim=(1, 2, 3))
    error = ((for_error.float() - normalised).abs() * hole).sum(dim=(1, 2, 3)) / hidden
    filled = torch.lerp(truth, for_similarity.float() * sd + mean, hole)
    return error, (similarity_map(filled, truth) * hole).sum(dim=(1, 2, 3)) / hidden


def similarity_map(
    a: Float[Tensor, "batch channels height width"], b: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch channels height width"]:
    """SSIM at every pixel of two pictures in [0, 1] (Wang et al. 2004), as torchmetrics computes it.

    The window is a product of two, so that blurring is a matrix product on either side: on a CPU faster by far than
    the convolution of 11 x 11 per channel.
    """
    rows, columns = (_blur(n).to(a) for n in a.shape[2:])
    blurred = rows @ torch.stack([a, b, a * a, b * b, a * b]) @ columns.T
    mean_a, mean_b = blurred[0], blurred[1]
    square_a, square_b, product = mean_a * mean_a, mean_b * mean_b, mean_a * mean_b
    var_a, var_b, covariance = blurred[2] - square_a, blurred[3] - square_b, blurred[4] - product
    return ((2 * product + _C1) * (2 * covariance + _C2)) / ((square_a + square_b + _C1) * (var_a + var_b + _C2))


@cache
def _blur(n: int) -> Float[Tensor, "n n"]:
    """The matrix that blurs a line of n pixels, mirrored at its ends."""
    window = torch.exp(-0.5 * (torch.arange(-_REACH, _REACH + 1, dtype=torch.float64) / _SIGMA) ** 2)
    padded = pad(torch.eye(n, dtype=torch.float64), (_REACH, _REACH), mode="reflect")
    return (padded.unfold(1, 2 * _REACH + 1, 1) @ (window / window.sum())).T.contiguous()


def _holes(patches: Shaped[np.ndarray, "batch 64"], hidden: int) -> Holes:
    """True on the first `hidden` patches of each permutation."""
    holes = np.zeros(patches.shape, bool)
    np.put_along_axis(holes, patches[:, :hidden].astype(np.int64), True, axis=1)
    return torch.from_numpy(holes.reshape(-1, _GRID, _GRID))


def _share(warmup: int, epochs: int, floor: float, epoch: int) -> float:
    """The learning rate of an epoch (from 0) as a share of the full one."""
    if epoch < warmup:
        return (epoch + 1) / (warmup + 1)
    done = (epoch - warmup) / max(1, epochs - warmup - 1)
    return floor + (1.0 - floor) * (1.0 + math.cos(math.pi * min(1.0, done))) / 2.0
