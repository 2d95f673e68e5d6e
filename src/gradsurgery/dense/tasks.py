"""What a map is that a dense problem predicts: its loss, and its numbers over a whole split.

Outputs are (batch, channels, height, width) and bare: a task itself makes log-probabilities or unit vectors of them.
Truths are channels last, as on the disk. A task *tallies* every batch, in rows of numbers that may be stacked, and
*concludes* from all rows at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Float64, Real
from torch import Tensor

Map = Float[Tensor, "batch channels height width"]
Rows = Float64[np.ndarray, "rows numbers"]
Found = tuple[dict[str, float], dict[str, Float64[np.ndarray, " n"]]]  # metrics; what each picture contributes to them


class Task(ABC):
    """One map of the picture's size.

    Attributes:
        channels: of the output.
        metrics: their names -> True where higher is better.
    """

    channels: int
    metrics: Mapping[str, bool]

    @abstractmethod
    def loss(self, output: Map, truth: Tensor) -> Float[Tensor, ""]:
        """Mean over the pixels of the batch that count; 0 where none does."""

    @abstractmethod
    def tally(self, output: Map, truth: Tensor) -> Float64[Tensor, "rows numbers"]:
        """What is kept of one batch."""

    @abstractmethod
    def conclude(self, rows: Rows) -> Found:
        """Of all rows of a split."""


def of_ratio(above: Real[np.ndarray, " n"], below: Real[np.ndarray, " n"]) -> tuple[float, Float64[np.ndarray, " n"]]:
    """A ratio of two sums over pictures, and what each picture contributes to it.

    The contributions average to the ratio, and their spread is the ratio's to first order (the delta method): a picture
    that is as good as the others pulls nowhere, however many pixels it has.
    """
    if not below.sum() > 0:
        return float("nan"), np.full(len(below), np.nan)
    ratio = float(above.sum() / below.sum())
    return ratio, np.asarray(ratio + (above - ratio * below) / below.mean(), np.float64)


def of_batches(metrics: Mapping[str, bool], rows: Rows) -> Found:
    """Means over batches, to which no single picture contributes."""
    return dict(zip(metrics, rows.mean(axis=0).tolist(), strict=True)), {}
