"""Maps of measured geometry: how far a pixel is, and which way the surface there faces."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from gradsurgery.dense.tasks import Found, Map, Rows, Task, of_batches

_TO_DEGREES = 180.0 / torch.pi


@dataclass(frozen=True)
class Depth(Task):
    """A positive number for every pixel, 0 where it is not known; (batch, height, width, 1).

    Loss: mean absolute error. Metrics as published, and therefore means over *batches* of each batch's mean absolute
    and relative error: they depend on the batch size that they are measured with.
    """

    channels = 1
    metrics = {"absolute_error": False, "relative_error": False}  # noqa: RUF012

    def loss(self, output: Map, truth: Float[Tensor, "batch height width 1"]) -> Float[Tensor, ""]:
        known = truth[..., 0] != 0
        return ((output[:, 0] - truth[..., 0]).abs() * known).sum() / known.sum().clamp(min=1)

    def tally(self, output: Map, truth: Float[Tensor, "batch height width 1"]) -> Float64[Tensor, "1 2"]:
        true = truth[..., 0]
        known = true != 0
        error = ((output[:, 0] - true).abs() * known).double()
        relative = error / torch.where(known, true, 1.0)
        return torch.stack([error.sum(), relative.sum()])[None] / known.sum().clamp(min=1)

    def conclude(self, rows: Rows) -> Found:
        return of_batches(self.metrics, rows)


@dataclass(frozen=True)
class Normals(Task):
    """A unit vector for every pixel, where the three numbers of the truth do not add up to 0; (b, height, width, 3).

    Loss: 1 - mean cosine with the output at length 1. Metrics as published: means over batches, see `Depth`, of each
    batch's mean and median angle in degrees and of its share of pixels within 11.25, 22.5 and 30 degrees.
    """

    channels = 3
    metrics = {"mean": False, "median": False, "within_11": True, "within_22": True, "within_30": True}  # noqa: RUF012

    def loss(self, output: Map, truth: Float[Tensor, "batch height width 3"]) -> Float[Tensor, ""]:
        cosines, known = self._cosines(output, truth)
        return 1.0 - (cosines * known).sum() / known.sum().clamp(min=1)

    def tally(self, output: Map, truth: Float[Tensor, "batch height width 3"]) -> Float64[Tensor, "1 5"]:
        cosines, known = self._cosines(output, truth)
        angles = (
            torch.where(known, cosines.double().clamp(-1.0, 1.0).acos() * _TO_DEGREES, torch.inf).flatten().sort()[0]
        )
        count = known.sum().clamp(min=1)  # nothing is picked out by a mask, as the host would wait for the device
        mean = torch.where(angles.isinf(), 0.0, angles).sum() / count
        within = [(angles < bound).sum() / count for bound in (11.25, 22.5, 30.0)]
        median = angles.gather(0, (count - 1).view(1) // 2)[0]
        return torch.stack([mean, torch.where(median.isinf(), 0.0, median), *within])[None]

    def conclude(self, rows: Rows) -> Found:
        return of_batches(self.metrics, rows)

    def _cosines(self, output: Map, truth: Tensor) -> tuple[Tensor, Tensor]:
        return (normalize(output, dim=1) * truth.permute(0, 3, 1, 2)).sum(dim=1), truth.sum(dim=-1) != 0
