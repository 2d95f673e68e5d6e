"""The maps of PASCAL-Context that other scenes do not have: what stands out, and normals kept as bytes."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int8, Integer
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from gradsurgery.dense.geometry import Normals
from gradsurgery.dense.labels import Segmentation
from gradsurgery.dense.tasks import Found, Map, Rows, Task

_THRESHOLDS = tuple(np.linspace(0.2, 0.9, 15).tolist())


@dataclass(frozen=True)
class Saliency(Task):
    """Whether a pixel belongs to what stands out in the picture (1) or does not (0).

    Source: ASTMT (Maninis et al. 2019, arXiv 1904.08918), loss and metric: cross entropy in which each of the two
    counts by the share of the other in the batch; `miou`, the mean over pictures of intersection over union of what
    stands out, 1 where nothing does and nothing is said to, at the best of 15 thresholds from 0.2 to 0.9.
    """

    channels = 1
    metrics = {"miou": True}  # noqa: RUF012

    def loss(self, output: Map, truth: Integer[Tensor, "batch height width"]) -> Tensor:
        on = (truth == 1).to(output.dtype)
        off_share = 1.0 - on.mean()
        entropy = binary_cross_entropy_with_logits(output[:, 0], on, reduction="none")
        return (entropy * (off_share * on + (1.0 - off_share) * (1.0 - on))).mean()

    def tally(self, output: Map, truth: Integer[Tensor, "batch height width"]) -> Tensor:
        """Of every picture: pixels of intersection at every threshold, then of union."""
        said = output[:, :1].sigmoid() > output.new_tensor(_THRESHOLDS).view(1, -1, 1, 1)
        true = (truth == 1)[:, None]
        return torch.cat([(said & true).flatten(2).sum(2), (said | true).flatten(2).sum(2)], dim=1).double()

    def conclude(self, rows: Rows) -> Found:
        both, either = np.split(rows, 2, axis=1)
        shares = np.where(either > 0, both / np.maximum(either, 1), 1.0)
        best = int(shares.mean(axis=0).argmax())
        return {"miou": float(shares[:, best].mean())}, {"miou": shares[:, best]}


@dataclass(frozen=True)
class NormalBytes(Normals):
    """As `Normals`, of truths in 127ths, which are brought to length 1 again; (0, 0, 0) counts nowhere."""

    def loss(self, output: Map, truth: Int8[Tensor, "batch height width 3"]) -> Tensor:
        return super().loss(output, normalize(truth.float(), dim=-1))

    def tally(self, output: Map, truth: Int8[Tensor, "batch height width 3"]) -> Tensor:
        return super().tally(output, normalize(truth.float(), dim=-1))

    def _cosines(self, output: Map, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Whole numbers may well add up to 0 and count all the same."""
        return (normalize(output, dim=1) * truth.permute(0, 3, 1, 2)).sum(dim=1), (truth != 0).any(dim=-1)


TASKS = {"segmentation": Segmentation(21), "parts": Segmentation(7), "saliency": Saliency(), "normal": NormalBytes()}
