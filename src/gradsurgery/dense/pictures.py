"""Segmentation judged as MTAN's code did until November 2020: picture by picture."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Integer
from torch import Tensor

from gradsurgery.dense.labels import IGNORED, Segmentation
from gradsurgery.dense.tasks import Found, Map, Rows


@dataclass(frozen=True)
class SegmentationByPicture(Segmentation):
    """A class for every pixel, with other metrics: means over pictures of each one's mIoU and pixel accuracy.

    A picture's mIoU is the mean over the classes that occur in it, in the truth or in the answers. Pixels without a
    label count in no truth, but what is answered there belongs to the union, so that it is lower than today's; the
    tables of MTAN and PCGrad were made so.
    """

    def tally(self, output: Map, truth: Integer[Tensor, "batch height width"]) -> Float64[Tensor, "batch numbers"]:
        """Of every picture: by class the pixels of both and of either, then the right pixels and those with a label."""
        classes = torch.arange(self.channels, device=truth.device).view(-1, 1, 1)
        answer = output.argmax(dim=1)
        true, said = ((own[:, None] == classes) for own in (truth, answer))
        counts = [(true & said).flatten(2).sum(dim=2), (true | said).flatten(2).sum(dim=2)]
        right, labelled = (own.flatten(1).sum(dim=1, keepdim=True) for own in (truth == answer, truth != IGNORED))
        return torch.cat([*counts, right, labelled], dim=1).double()

    def conclude(self, rows: Rows) -> Found:
        both, either = rows[:, : self.channels], rows[:, self.channels : -2]
        occurs = either > 0
        shares = np.divide(both, either, out=np.zeros_like(both), where=occurs).sum(axis=1)
        miou = shares / occurs.sum(axis=1)  # some class is answered everywhere
        accuracy = rows[:, -2] / np.maximum(rows[:, -1], 1.0)
        return (
            {"miou": float(miou.mean()), "pixel_accuracy": float(accuracy.mean())},
            {"miou": miou, "pixel_accuracy": accuracy},
        )
