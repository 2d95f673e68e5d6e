"""Figures of conflict by layer, with and without layers of the tasks' own. Hollow is without, filled is with."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.layer_conflict import Comparison, layer_shares, thresholds, training_loss, whole_share
from gradsurgery.evidence.statistics import Summary, summarise
from gradsurgery.report.layer_names import in_the_paper
from gradsurgery.report.style import canvas, colour, label, look

# (before, after): the runs of a method, and of the same method on a network with layers of the tasks' own
Pairs = Mapping[str, tuple[Sequence[Run], Sequence[Run]]]

_OWN = "#e9e9e9"


def by_layer(pairs: Pairs, S: float) -> Figure:
    """The share of conflicting steps in every layer over the whole training; bars are 95 % intervals over seeds.

    Grey rows are layers of which the tasks have their own, so that nothing is shared there any more.
    """
    names = list(layer_shares(next(iter(pairs.values()))[0][0], S))
    with look():
        figure = canvas(max(5.5, 2.4 + 1.55 * len(pairs)), 1.0 + 0.155 * len(names))
        panels = np.atleast_1d(figure.subplots(1, len(pairs), sharex=True, sharey=True))
        for axes, (method, (before, after)) in zip(panels, pairs.items(), strict=True):
            still = set(layer_shares(after[0], S))
            for height, name in enumerate(names):
                if name not in still:
                    axes.axhspan(height - 0.5, height + 0.5, color=_OWN, linewidth=0, zorder=0)
            _dots(axes, before, names, S, colour(method), "white")
            _dots(axes, after, names, S, colour(method), colour(method))
            axes.set_title(label(method))
            axes.grid(visible=False, axis="y")
        panels[0].set_yticks(range(len(names)), [in_the_paper(name) for name in names], fontsize=6)
        panels[0].set_ylim(len(names) - 0.5, -0.5)
        figure.supxlabel(f"share of steps with a cosine below {S:g} (hollow: without, filled: with Recon)", fontsize=9)
    return figure


def _dots(axes: Axes, runs: Sequence[Run], names: Sequence[str], S: float, edge: str, face: str) -> None:
    rows = [{name: float(share.mean()) for name, share in layer_shares(run, S).items()} for run in runs]
    for height, name in enumerate(names):
        if name in rows[0]:
            summary = summarise([row[name] for row in rows])
            _bar(axes, summary, height, edge, 0.8)
            axes.plot(summary.mean, height, "o", color=edge, markerfacecolor=face, markersize=3.6)


def _bar(axes: Axes, summary: Summary, height: int | float, hue: str, width: float) -> None:
    if summary.low is not None and summary.high is not None:
        axes.plot([summary.low, summary.high], [height, height], "-", color=hue, linewidth=width, zorder=1)


def cosines(pairs: Pairs) -> Figure:
    """The cosine between the tasks' gradients on the whole shared vector, all diagnosed steps of all seeds."""
    with look():
        figure = canvas(max(5.5, 2.1 * len(pairs)), 2.6)
        panels = np.atleast_1d(figure.subplots(1, len(pairs), sharex=True, sharey=True))
        for axes, (method, (before, after)) in zip(panels, pairs.items(), strict=True):
            values = [[row["mean_cosine"] for run in runs for row in run.diagnostics] for runs in (before, after)]
            bins = np.linspace(-0.6, 0.6, 49).tolist()
            axes.hist(
                np.clip(values[1], -0.6, 0.6), bins=bins, density=True, color=colour(method), alpha=0.45,
                label="with Recon",
            )  # fmt: skip
            axes.hist(
                np.clip(values[0], -0.6, 0.6), bins=bins, density=True, histtype="step", color="black", linewidth=1.1,
                label="without",
            )  # fmt: skip
            axes.axvline(0.0, color="#888888", linewidth=0.8)
            axes.set_title(label(method))
            axes.set_yscale("log")
        panels[0].set_ylabel("density")
        figure.supxlabel("cosine of the two tasks' gradients (beyond 0.6: at the edge)", fontsize=9)
        panels[-1].legend(loc="upper right", frameon=False, fontsize=7)
    return figure


def cosine_spread(pairs: Pairs) -> str:
    """Less conflict need not be more agreement: how far the cosine leaves zero, in either direction."""
    parts = []
    for method, sides in pairs.items():
        sd = [
            np.mean([np.std([row["mean_cosine"] for row in run.diagnostics]) for run in side if run.diagnostics])
            for side in sides
        ]
        parts.append(f"{label(method)} {sd[0]:.3f} without, {sd[1]:.3f} with Recon")
    return f"Its standard deviation over steps: {'; '.join(parts)}."


def at_equal_loss(pairs: Pairs, S: float, rows: Mapping[str, Comparison]) -> Figure:
    """Left: the share against the training loss, a point an epoch and a line a seed. Right: differences with intervals.

    Args:
        pairs: what is drawn on the left.
        S: the threshold.
        rows: what is drawn on the right, from the top.
    """
    with look():
        figure = canvas(9.6, 4.4)
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.15])
        for method, sides in pairs.items():
            for runs, face, dashes in zip(sides, ("white", colour(method)), ("-", "--"), strict=True):
                for i, run in enumerate(runs):
                    name = label(method) if i == 0 and dashes == "-" else None
                    left.plot(
                        training_loss(run), whole_share(run, S), dashes, marker="o", color=colour(method), markersize=3,
                        markerfacecolor=face, linewidth=0.8, alpha=0.85, label=name,
                    )  # fmt: skip
        left.invert_xaxis()
        left.set_xlabel("training loss of the epoch, mean of tasks (falls to the right)")
        left.set_ylabel(f"share of steps with a cosine below {S:g}")
        left.set_title("whole shared vector; dashed and filled: with Recon")
        left.legend(frameon=False)
        right.axvline(0.0, color="black", linewidth=1.0)
        for height, comparison in enumerate(rows.values()):
            for offset, hue, kinds in (
                (-0.16, "#0072B2", (comparison.whole_loss, comparison.whole_step)),
                (0.16, "#D55E00", (comparison.layers_loss, comparison.layers_step)),
            ):
                for shift, summary, mark in zip((-0.06, 0.06), kinds, ("o", "x"), strict=True):
                    if summary is not None:
                        _bar(right, summary, height + offset + shift, hue, 1.4)
                        right.plot(summary.mean, height + offset + shift, mark, color=hue, markersize=4)
        for name, hue, mark in (
            ("whole vector, equal loss", "#0072B2", "o"), ("whole vector, equal step", "#0072B2", "x"),
            ("common layers, equal loss", "#D55E00", "o"), ("common layers, equal step", "#D55E00", "x"),
        ):  # fmt: skip
            right.plot([], [], mark, color=hue, markersize=4, label=name)
        right.set_yticks(range(len(rows)), list(rows), fontsize=7)
        right.set_ylim(len(rows) - 0.5, -0.5)
        right.set_xlabel("difference of shares")
        right.set_title("differences, 95 % intervals over seeds")
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=4, frameon=False, fontsize=7)
    return figure


def common_threshold(pairs: Pairs, wanted: float) -> float:
    """The threshold nearest to `wanted` that all runs counted."""
    runs = [run for sides in pairs.values() for side in sides for run in side]
    return min(thresholds(runs), key=lambda S: abs(S - wanted))
