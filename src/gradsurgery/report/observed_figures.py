"""Figures of what the task gradients do in every layer: over training, layer by layer beside the nulls, by method."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.observed import (
    BASELINE,
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
from gradsurgery.report.observed_marks import course, depths, dots, spread_out
from gradsurgery.report.style import canvas, colour, label, line, look

PARTS = 6  # of training; more of them leave one or two steps to a part where few were diagnosed
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
            for hue, each in zip(depths(len(groups)), groups, strict=True):
                course(axes, _joined(means, each, panel.adds), hue, each.text, "-", panel.least, panel.most)
            if panel.adds:
                axes.set_yscale("symlog", linthresh=spread_out(means))
            axes.set_title(panel.title)
        for hue, each in zip(depths(len(groups)), groups, strict=True):
            sd = float(np.sqrt((random_sd(group[0])[each.members] ** 2).sum()) / len(each.members))
            panels[0].axhline(-2.0 * sd, linestyle=":", color=hue, linewidth=0.9)
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
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.3, 1])
        left.barh(
            range(len(layers)), 2 * reach, left=-reach, height=0.9, color=_BAND, zorder=0, label="random directions"
        )  # fmt: skip
        for axes in (left, right):
            axes.axvline(0.0, color=_ZERO, linewidth=0.8)
            axes.grid(visible=False, axis="y")
        offsets = np.linspace(-0.36, 0.36, rows) if rows > 1 else np.zeros(1)
        for offset, (method, group) in zip(offsets, own.items(), strict=False):
            dots(left, group, partial(values, key=COSINE), offset, colour(method), label(method))
            dots(right, group, partial(values, key=CURVATURE), offset, colour(method), label(method))
        for group in nulls[:1]:
            for offset, key, text in zip(
                offsets[-2:], (CROSS, SAME), ("two tasks, half a batch each", "one task, two halves"), strict=True
            ):
                dots(left, group, partial(values, key=key), offset, "#444444", text, hollow=key == SAME)
        bends = np.concatenate([over_training(group, partial(values, key=CURVATURE), 1) for group in own.values()])
        right.set_xscale("symlog", linthresh=spread_out(bends))
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
        for axes, key, title, reach in (
            (panels[0], COSINE, "cosine between tasks", 1.0),
            (panels[1], CURVATURE, "curvature along the step", np.inf),
        ):
            axes.axhline(0.0, color=_ZERO, linewidth=0.8)
            for method, group in own.items():
                curves = over_training(group, partial(whole, key=key), PARTS)[:, :, 0]
                course(axes, curves, colour(method), label(method), line(method, methods), -reach, reach)
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


def _alike(runs: Runs) -> dict[str, Sequence[Run]]:
    """Methods whose networks have the layers of the first one, the sum before the others."""
    first = names(next(iter(runs.values())))
    return {
        m: group for m, group in sorted(runs.items(), key=lambda each: each[0] != BASELINE) if names(group) == first
    }
