"""What figures of the layers are drawn with: courses over training, shades by depth."""

import matplotlib
import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from gradsurgery.evidence.statistics import summarise


def course(
    axes: Axes, curves: Float64[np.ndarray, "seeds parts"], hue: str, text: str, dashes: str, least: float, most: float
) -> None:
    """Mean over seeds and its interval, which ends where the quantity must."""
    parts = curves.shape[1]
    times = 100 * (np.arange(parts) + 0.5) / parts
    marker = "o" if parts == 1 else None
    axes.plot(times, curves.mean(axis=0), dashes, color=hue, label=text, linewidth=1.4, marker=marker, markersize=4)
    axes.set_xlim(0.0, 100.0)
    bands = [summarise(column.tolist()) for column in curves.T]
    if bands[0].low is not None:
        low, high = np.clip(np.array([[band.low, band.high] for band in bands], dtype=float).T, least, most)
        axes.fill_between(times, low, high, color=hue, alpha=0.08, linewidth=0)


def spread_out(means: np.ndarray) -> float:
    """Up to where an axis of curvatures is linear: layers differ by orders of magnitude, and signs may differ too."""
    largest = float(np.abs(means).max())
    return 10.0 ** (np.floor(np.log10(largest)) - 2) if largest > 0.0 else 1.0


def depths(count: int) -> list[str]:
    """Dark at the input, light at the output; the palest end of the map is left out."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.88, count))
    return [matplotlib.colors.to_hex(shade) for shade in shades]
