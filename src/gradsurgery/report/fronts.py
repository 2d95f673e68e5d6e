"""Methods beside the front of static weights: as a picture, a table and a sentence."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.fronts import Front, back
from gradsurgery.evidence.measures import PLAIN, capital, measure, worded
from gradsurgery.report.format import by_word, gain
from gradsurgery.report.marks import effect
from gradsurgery.report.style import canvas, colour, label, look


def table(found: Front, compared: Sequence[Contrast]) -> pd.DataFrame:
    """One row per method: its distance to the front, what that says, and the area it adds."""
    entries = {c.method: c for c in compared}
    how = measure(next(iter(found.metrics)))
    rows = []
    for method in sorted(found.others, key=lambda m: -entries[m].difference.mean if m in entries else 9.9):
        entry = entries.get(method)
        rows.append({
            "method": label(method),
            **{worded(n): how.plain(abs(v)) for n, v in zip(found.metrics, found.others[method], strict=True)},
            f"beyond the static front, both tasks{how.of_step}": gain(entry) if entry else "beyond the weights' ends",
            "verdict": entry.verdict if entry else "-",
            "area added to the front (%)": PLAIN.say(found.areas.get(method)), "n": found.seeds,
        })  # fmt: skip
    return pd.DataFrame(rows)


def sentence(found: Front, compared: Sequence[Contrast]) -> str:
    """Which methods lie beyond the front, and which inside it."""
    terms = f"{len(found.weights)} weights, n = {found.seeds} seeds, exploratory"
    said = capital(by_word(compared)) or "No method lies between the ends of the front"
    return f"{said} ({terms}; better is beyond the front)."


def figure(found: Front, compared: Sequence[Contrast], studied: Collection[str]) -> Figure:
    """The front with its band and the methods in the plane of the two metrics, whole and enlarged; the distances."""
    how = measure(next(iter(found.metrics)))
    order = sorted(compared, key=lambda c: c.difference.mean)
    with look():
        drawn = canvas(9.4, max(6.0, 1.2 + 0.24 * len(order)))
        panels = drawn.subplot_mosaic([["whole", "line"], ["near", "line"]], width_ratios=[1.15, 1.0])
        for name in ("whole", "near"):
            _plane(panels[name], found, how.factor, studied)
        _enlarge(panels["near"], found, how.factor)
        panels["whole"].legend(loc="lower left", frameon=False)
        panels["whole"].set_title("all weights")
        panels["near"].set_title("where the methods are")
        line = panels["line"]
        line.axvline(0.0, color=colour("static"), linewidth=1.2)
        for height, c in enumerate(order):
            effect(line, height, c.difference.moved(how.factor), colour(c.method))
        line.set_yticks(range(len(order)), [label(c.method) for c in order])
        line.set_xlabel(f"beyond the static front, in both tasks{how.of_step}")
    return drawn


def _plane(axes: Axes, found: Front, factor: float, studied: Collection[str]) -> None:
    signs = factor * np.array([1.0 if higher else -1.0 for higher in found.metrics.values()])
    grid, (low, middle, high) = np.array(found.grid), np.array(found.band)
    edge = np.concatenate([back(grid, low), back(grid, high)[::-1]]) * signs
    axes.fill(*edge.T, color=colour("static"), alpha=0.25, linewidth=0, label="static weights, 95 %")
    axes.plot(*(back(grid, middle) * signs).T, "-", color=colour("static"), linewidth=1.2)
    axes.plot(*(np.array(found.points) * signs).T, "s", color=colour("static"), markersize=3.5)
    for method, point in found.others.items():
        size = 5 if method in studied else 3.5
        axes.plot(*(np.array(point) * signs), "o", color=colour(method), markersize=size)
    first, second = found.metrics
    axes.set_xlabel(worded(first))
    axes.set_ylabel(worded(second))


def _enlarge(axes: Axes, found: Front, factor: float) -> None:
    """Around the middle of the methods, as far as most of them reach."""
    means = factor * np.abs(list(found.others.values()))
    middle = np.median(means, axis=0)
    reach = np.maximum(1.3 * np.quantile(np.abs(means - middle), 0.9, axis=0), 0.01 * factor)
    axes.set_xlim(middle[0] - reach[0], middle[0] + reach[0])
    axes.set_ylim(middle[1] - reach[1], middle[1] + reach[1])
