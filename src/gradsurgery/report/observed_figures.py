"""Figures of what the task gradients do in every layer: over training, layer by layer beside the nulls, by method."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import matplotlib
import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.observed import (
    COSINE,
    CURVATURE,
    SIMILARITY,
    Layered,
    excess,
    has_null,
    names,
    over_training,
    random_sd,
    values,
)
from gradsurgery.report.marks import course, middles
from gradsurgery.report.style import canvas, look

PARTS = 6  # of training; more of them leave one or two steps to a part where few were diagnosed
LINES = 8  # more layers than this are drawn as groups of neighbours
_ZERO = "#888888"


@dataclasses.dataclass(frozen=True)
class _Group:
    """Neighbouring layers that share one line."""

    text: str
    members: list[int]


@dataclasses.dataclass(frozen=True)
class _Panel:
    """One quantity, and between what it must lie; `adds` where the layers' numbers are parts of a whole."""

    title: str
    get: Callable[[Run], Layered]
    least: float
    most: float
    adds: bool = False


def over_layers(group: Sequence[Run]) -> Figure:
    """Layers of one line over training, dark at the input and light at the output; bands are 95 % intervals over seeds.

    Dotted is the lower end of what one step's cosine of random directions does, two standard deviations. A line's
    cosine and magnitude similarity are means over its layers, its curvature is their sum.
    """
    groups = grouped(names(group))
    nulls = has_null(group)
    with look():
        figure = canvas(9.4, 5.2) if nulls else canvas(10.6, 2.9)
        panels = figure.subplots(2, 2).ravel() if nulls else figure.subplots(1, 3)
        drawn = [_Panel("cosine between tasks", partial(values, key=COSINE), -1.0, 1.0)]
        drawn += [_Panel("... minus that of two halves of one task's batch", excess, -2.0, 2.0)] if nulls else []
        drawn += [
            _Panel("magnitude similarity", partial(values, key=SIMILARITY), 0.0, 1.0),
            _Panel("curvature, by layer", partial(values, key=CURVATURE), -np.inf, np.inf, adds=True),
        ]
        for axes, panel in zip(panels, drawn, strict=True):
            if panel.least < 0.0:
                axes.axhline(0.0, color=_ZERO, linewidth=0.8)
            means = over_training(group, panel.get, PARTS)
            axes.set_xlim(0.0, 100.0)
            for hue, each in zip(_depths(len(groups)), groups, strict=True):
                curves = _joined(means, each, panel.adds)
                course(
                    axes, middles(curves.shape[1]), curves, "-", tint=hue, band=0.08, ends=(panel.least, panel.most),
                    label=each.text, linewidth=1.4, markersize=4,
                )  # fmt: skip
            if panel.adds:
                axes.set_yscale("symlog", linthresh=_spread_out(means))
            axes.set_title(panel.title)
        for hue, each in zip(_depths(len(groups)), groups, strict=True):
            sd = float(np.sqrt((random_sd(group[0])[each.members] ** 2).sum()) / len(each.members))
            panels[0].axhline(-2.0 * sd, linestyle=":", color=hue, linewidth=0.9)
        for axes in panels[2:] if nulls else panels:
            axes.set_xlabel("share of training (%)")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def grouped(layers: Sequence[str]) -> list[_Group]:
    """At most `LINES` groups of neighbours, named by their first and last member."""
    parts = np.array_split(np.arange(len(layers)), min(LINES, len(layers)))
    return [
        _Group(layers[part[0]] if len(part) == 1 else f"{layers[part[0]]} to {layers[part[-1]]}", part.tolist())
        for part in parts
    ]


def _joined(
    means: Float64[np.ndarray, "seeds parts layers"], group: _Group, adds: bool
) -> Float64[np.ndarray, "seeds parts"]:
    chosen = means[:, :, group.members]
    return np.asarray(chosen.sum(axis=2) if adds else chosen.mean(axis=2))


def _spread_out(means: np.ndarray) -> float:
    """Up to where an axis of curvatures is linear: layers differ by orders of magnitude, and signs may differ too."""
    largest = float(np.abs(means).max())
    return 10.0 ** (np.floor(np.log10(largest)) - 2) if largest > 0.0 else 1.0


def _depths(count: int) -> list[str]:
    """Dark at the input, light at the output; the palest end of the map is left out."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.88, count))
    return [matplotlib.colors.to_hex(shade) for shade in shades]
