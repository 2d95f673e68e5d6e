"""Maps of human labels and of what is derived from them: classes, boundaries between classes, distances from those."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Integer
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from gradsurgery.dense.tasks import Found, Map, Rows, Task, of_ratio

IGNORED = -1  # label of pixels that belong to no class


@dataclass(frozen=True)
class Segmentation(Task):
    """A class for every pixel; `IGNORED` counts nowhere.

    Pixels are flattened before the cross entropy: on CUDA, torch's deterministic mode refuses targets of two axes.

    Both metrics come from one confusion matrix over the whole set, as in MTAN's code since November 2020: mIoU is the
    mean over the classes that occur, in the truth or in the answers. It is no mean over pictures, so that pictures
    contribute to the pixel accuracy only: there as to a ratio of two sums over pictures (`of_ratio`), since a picture
    with more labelled pixels weighs more.

    Args:
        channels: number of classes.
    """

    channels: int
    metrics = {"miou": True, "pixel_accuracy": True}  # noqa: RUF012

    def loss(self, output: Map, truth: Integer[Tensor, "batch height width"]) -> Float[Tensor, ""]:
        labels = truth.reshape(-1).long()
        pixels = output.permute(0, 2, 3, 1).reshape(-1, self.channels)
        total = cross_entropy(pixels, labels, ignore_index=IGNORED, reduction="sum")
        return total / (labels != IGNORED).sum().clamp(min=1)

    def tally(self, output: Map, truth: Integer[Tensor, "batch height width"]) -> Float64[Tensor, "batch cells"]:
        """Every picture's confusion matrix, row by row: of each true class, how often each one was answered."""
        # A product of zeros and ones, which is exact: a mask or a histogram would make the host wait for the device.
        classes = torch.arange(self.channels, device=truth.device).view(-1, 1, 1)
        true, said = ((own[:, None] == classes).flatten(2).float() for own in (truth, output.argmax(dim=1)))
        return (true @ said.mT).flatten(1).double()

    def conclude(self, rows: Rows) -> Found:
        matrices = rows.reshape(-1, self.channels, self.channels)
        right, seen = matrices.trace(axis1=1, axis2=2), matrices.sum(axis=(1, 2))
        whole = matrices.sum(axis=0)
        union = whole.sum(axis=0) + whole.sum(axis=1) - whole.diagonal()
        miou = float(np.mean(whole.diagonal()[union > 0] / union[union > 0]))
        accuracy, pulls = of_ratio(right, seen)
        return {"miou": miou, "pixel_accuracy": accuracy}, {"pixel_accuracy": pulls}


@dataclass(frozen=True)
class Boundary(Task):
    """Whether a pixel lies on a boundary (1), does not (0), or does not count (`IGNORED`).

    Boundary pixels are few. The loss is the mean of the two classes' mean cross entropies, as in Xie and Tu 2015 (arXiv
    1504.06375) with the balance taken over the batch; the metric `error` is the mean of the two classes' error rates
    over the whole set, so that answering the same everywhere gives a half.
    """

    channels = 1
    metrics = {"error": False}  # noqa: RUF012

    def loss(self, output: Map, truth: Integer[Tensor, "batch height width"]) -> Float[Tensor, ""]:
        logits = output[:, 0]
        entropy = binary_cross_entropy_with_logits(logits, (truth == 1).to(logits.dtype), reduction="none")
        shares = [(truth == label).to(entropy.dtype) for label in (0, 1)]
        return torch.stack([(entropy * own).sum() / own.sum().clamp(min=1) for own in shares]).mean()

    def tally(self, output: Map, truth: Integer[Tensor, "batch height width"]) -> Float64[Tensor, "batch 4"]:
        """Of every picture: boundary pixels that were missed, all of them; others taken for such, all of them."""
        found, on, off = output[:, 0] > 0, truth == 1, truth == 0
        counts = (on & ~found, on, off & found, off)
        return torch.stack([each.flatten(1).sum(dim=1) for each in counts], dim=1).double()

    def conclude(self, rows: Rows) -> Found:
        missed, miss_pulls = of_ratio(rows[:, 0], rows[:, 1])
        false, false_pulls = of_ratio(rows[:, 2], rows[:, 3])
        return {"error": (missed + false) / 2}, {"error": (miss_pulls + false_pulls) / 2}


@dataclass(frozen=True)
class Distance(Task):
    """Distance of every pixel from the nearest boundary, up to a limit; negative where a pixel does not count.

    Trained in units of the limit, by the mean absolute error; the metric `mae` is in pixels.

    Args:
        limit: in pixels.
        unit: of the truth, in pixels.
    """

    limit: float
    unit: float
    channels = 1
    metrics = {"mae": False}  # noqa: RUF012

    def loss(self, output: Map, truth: Integer[Tensor, "batch height width"]) -> Float[Tensor, ""]:
        error, counts = self._error(output, truth)
        return error.sum() / counts.sum().clamp(min=1)

    def tally(self, output: Map, truth: Integer[Tensor, "batch height width"]) -> Float64[Tensor, "batch 2"]:
        """Of every picture the sum of errors in pixels, and the number of pixels that count."""
        error, counts = self._error(output, truth)
        return torch.stack([self.limit * error.double().sum(dim=(1, 2)), counts.double().sum(dim=(1, 2))], dim=1)

    def conclude(self, rows: Rows) -> Found:
        error, pulls = of_ratio(rows[:, 0], rows[:, 1])
        return {"mae": error}, {"mae": pulls}

    def _error(self, output: Map, truth: Tensor) -> tuple[Tensor, Tensor]:
        counts = truth >= 0
        return (output[:, 0] - truth * (self.unit / self.limit)).abs() * counts, counts
