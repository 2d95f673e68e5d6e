"""What figures are put together of: an effect with its interval, a course over training with its band, one legend."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradsurgery.evidence.measures import Interval
from gradsurgery.evidence.statistics import summarise


def effect(axes: Axes, height: int, found: Interval, tint: str) -> None:
    """A row of a forest: the interval, where there is one, and a dot at the mean, in the unit of the axis."""
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [height, height], "-", color=tint, linewidth=2.0)
    axes.plot(found.mean, height, "o", color=tint, markersize=5)


def course(
    axes: Axes, times: np.ndarray, curves: Float64[np.ndarray, "seeds parts"], *look: str, tint: str,
    band: float | None, ends: tuple[float, float] = (-np.inf, np.inf), **style: Any,
) -> None:  # fmt: skip
    """The mean over seeds, and its 95 % interval as a band.

    Args:
        axes: where.
        times: of the parts.
        curves: a row a seed.
        look: dash pattern.
        tint: colour of both.
        band: how opaque the band is; None draws none, as does a single seed.
        ends: between what the quantity must lie, where the band ends too.
        style: of the line.
    """
    marker = "o" if curves.shape[1] == 1 else None
    axes.plot(times, curves.mean(axis=0), *look, color=tint, marker=marker, **style)
    if band is not None and len(curves) > 1:
        bands = [summarise(column.tolist()) for column in curves.T]
        low, high = np.clip(np.array([[each.low, each.high] for each in bands], dtype=float).T, *ends)
        axes.fill_between(times, low, high, color=tint, alpha=band, linewidth=0)


def middles(parts: int) -> np.ndarray:
    """Of so many parts of training, in per cent of it."""
    return 100 * (np.arange(parts) + 0.5) / parts


def legend(figure: Figure, panels: Iterable[Axes], **style: Any) -> None:
    """One for all panels, with every name once."""
    found = {name: mark for axes in panels for mark, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(list(found.values()), list(found), frameon=False, **style)
