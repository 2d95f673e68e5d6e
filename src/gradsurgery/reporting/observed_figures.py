"""Figures of what the task gradients do in every layer: over training, layer by layer beside the nulls, by method."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import matplotlib
import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradsurgery.reporting.history import Run
from gradsurgery.reporting.observed import (
    COSINE,
    CROSS,
    CURVATURE,
    SAME,
    SIMILARITY,
    Layered,
    Runs,
    excess,
    has_null,
    names,
    over_training,
    random_sd,
    trained,
    values,
    whole,
)
from gradsurgery.reporting.statistics import summarise
from gradsurgery.reporting.style import canvas, colour, label, line, look

PARTS = 12
LINES = 8  # more layers than this are drawn as groups of neighbours
_BAND = "#e7ebee"
_ZERO = "#888888"


@dataclasses.dataclass(frozen=True)
class _Group:
    """Neighbouring layers that share one line."""

    text: str
    members: list[int]


@dataclasses.dataclass(frozen=True)
class _Panel:
    """One quantity: `adds` where the layers' numbers are parts of a whole, `signed` where zero means something."""

    title: str
    get: Callable[[Run], Layered]
    adds: bool = False
    signed: bool = True


def over_layers(group: Sequence[Run]) -> Figure:
    """Layers of one line over training, dark at the input and light at the output; bands are 95 % intervals over seeds.

    The grey band is two standard deviations of the cosine of random directions, in the widest of the layers' bands. A
    line's cosine and magnitude similarity are means over its layers, its curvature is their sum.
    """
    groups = grouped(names(group))
    nulls = has_null(group)
    with look():
        figure = canvas(9.4, 5.2) if nulls else canvas(10.6, 2.9)
        panels = figure.subplots(2, 2).ravel() if nulls else figure.subplots(1, 3)
        drawn = [_Panel("cosine between tasks", partial(values, key=COSINE))]
        drawn += [_Panel("... minus that of two halves of one task's batch", excess)] if nulls else []
        drawn += [
            _Panel("magnitude similarity", partial(values, key=SIMILARITY), signed=False),
            _Panel("curvature along the step, by layer", partial(values, key=CURVATURE), adds=True),
        ]
        for axes, panel in zip(panels, drawn, strict=True):
            if panel.signed:
                axes.axhline(0.0, color=_ZERO, linewidth=0.8)
            for hue, each in zip(_depths(len(groups)), groups, strict=True):
                _course(axes, _joined(over_training(group, panel.get, PARTS), each, panel.adds), hue, each.text)
            axes.set_title(panel.title)
        reach = 2.0 * float(random_sd(group[0]).max())
        panels[0].axhspan(-reach, reach, color=_BAND, linewidth=0, zorder=0, label="random directions")
        for axes in panels[2:] if nulls else panels:
            axes.set_xlabel("share of training (%)")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def by_layer(runs: Runs) -> Figure:
    """Every layer's mean over training by method, from the input (top) on: cosine beside its nulls, and curvature.

    Bars are 95 % intervals over seeds, the grey bars two standard deviations of one step's cosine between random
    directions in that layer.
    """
    own = _alike(trained(runs))
    watched = [group for group in runs.values() if has_null(group)]
    first = next(iter(own.values()))
    layers, reach = names(first), 2.0 * random_sd(first[0])
    nulls = watched if watched and names(watched[0]) == layers else []
    rows = len(own) + 2 * len(nulls[:1])
    with look():
        figure = canvas(9.4, 1.1 + len(layers) * (0.10 + 0.07 * rows))
        left, right = figure.subplots(1, 2, sharey=True)
        left.barh(range(len(layers)), 2 * reach, left=-reach, height=0.9, color=_BAND, zorder=0)
        for axes in (left, right):
            axes.axvline(0.0, color=_ZERO, linewidth=0.8)
            axes.grid(visible=False, axis="y")
        offsets = np.linspace(-0.36, 0.36, rows) if rows > 1 else np.zeros(1)
        for offset, (method, group) in zip(offsets, own.items(), strict=False):
            _dots(left, group, partial(values, key=COSINE), offset, colour(method), label(method))
            _dots(right, group, partial(values, key=CURVATURE), offset, colour(method), label(method))
        for group in nulls[:1]:
            for offset, key, text in zip(
                offsets[-2:], (CROSS, SAME), ("two tasks, half a batch each", "one task, two halves"), strict=True
            ):
                _dots(left, group, partial(values, key=key), offset, "#444444", text, hollow=key == SAME)
        left.set_yticks(range(len(layers)), layers, fontsize=8 if len(layers) <= 12 else 6)
        left.set_ylim(len(layers) - 0.5, -0.5)
        left.set_xlabel("cosine, mean over training")
        right.set_xlabel("curvature along the step, mean over training")
        figure.legend(*left.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def by_method(runs: Runs) -> Figure:
    """The whole shared vector over training by method: cosine and curvature; bands are 95 % intervals over seeds."""
    own = trained(runs)
    methods = list(own)
    with look():
        figure = canvas(9.4, 3.0)
        panels = figure.subplots(1, 2)
        for axes, key, title in zip(
            panels, (COSINE, CURVATURE), ("cosine between tasks", "curvature along the step"), strict=True
        ):
            axes.axhline(0.0, color=_ZERO, linewidth=0.8)
            for method, group in own.items():
                curves = over_training(group, partial(whole, key=key), PARTS)[:, :, 0]
                _course(axes, curves, colour(method), label(method), line(method, methods))
            axes.set_title(title)
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


def _course(axes: Axes, curves: Float64[np.ndarray, "seeds parts"], hue: str, text: str, dashes: str = "-") -> None:
    parts = curves.shape[1]
    times = 100 * (np.arange(parts) + 0.5) / parts
    marker = "o" if parts == 1 else None
    axes.plot(times, curves.mean(axis=0), dashes, color=hue, label=text, linewidth=1.4, marker=marker, markersize=4)
    bands = [summarise(column.tolist()) for column in curves.T]
    if bands[0].low is not None:
        low, high = np.array([[band.low, band.high] for band in bands], dtype=float).T
        axes.fill_between(times, low, high, color=hue, alpha=0.10, linewidth=0)


def _dots(
    axes: Axes, group: Sequence[Run], get: Callable[[Run], Layered], offset: float, hue: str, text: str,
    hollow: bool = False,
) -> None:  # fmt: skip
    means = np.array([get(run).mean(axis=0) for run in group])
    heights = np.arange(means.shape[1]) + offset
    for height, column in zip(heights, means.T, strict=True):
        band = summarise(column.tolist())
        if band.low is not None and band.high is not None:
            axes.plot([band.low, band.high], [height, height], "-", color=hue, linewidth=0.9, zorder=2)
    face = "white" if hollow else hue
    axes.plot(
        means.mean(axis=0), heights, "o", color=hue, markerfacecolor=face, markersize=3.4, label=text, zorder=3
    )  # fmt: skip


def _depths(count: int) -> list[str]:
    """Dark at the input, light at the output; the palest end of the map is left out."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.88, count))
    return [matplotlib.colors.to_hex(shade) for shade in shades]


def _alike(runs: Runs) -> dict[str, Sequence[Run]]:
    """Methods whose networks have the layers of the first one."""
    first = names(next(iter(runs.values())))
    return {m: group for m, group in runs.items() if names(group) == first}
