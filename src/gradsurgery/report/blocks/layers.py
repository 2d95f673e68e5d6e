"""Conflict layer by layer with and without layers of the tasks' own, and what those cost in parameters."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradsurgery.evidence.groups import of
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.layer_conflict import layer_shares, scored, threshold
from gradsurgery.evidence.statistics import summarise
from gradsurgery.report.layer_names import in_the_paper
from gradsurgery.report.section import Drawing, Section, Sheet
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import canvas, colour, label, look
from gradsurgery.report.tables import source
from gradsurgery.report.titles import title

_OWN = "#e9e9e9"

Pair = tuple[Sequence[Run], Sequence[Run]]  # the runs without and with layers of the tasks' own


def part(key: str, sources: Sources, problem: str, pairs: list[list[str]]) -> Section | None:
    """None where no pair was run and counted layer by layer.

    Args:
        key: the paper's.
        sources: everything that was run.
        problem: where.
        pairs: a line, and the same line on a network with layers of the tasks' own.
    """
    groups = of(sources.groups, problem)
    both = {a: (groups[a], groups[b]) for a, b in pairs if a in groups and b in groups}
    both = {method: sides for method, sides in both.items() if all(scored(side[0]) for side in sides)}
    if not both:
        return None
    S = threshold(list(groups.values()))
    drawing = Drawing(
        f"{key}-layers", by_layer(both, S),
        f"{title(problem)}: steps with a cosine below {S:g} in every shared layer, whole training, from input (top) "
        "to the last shared layer, under the names of the paper's code; 95 % intervals over seeds. Grey rows became "
        "the tasks' own.",
    )  # fmt: skip
    heading = f"{title(problem)}: layers that became the tasks' own, and the parameters that this adds"
    return Section("", "", "", [drawing], [Sheet(f"{key}-parameters", heading, _added(sources, problem))])


def _added(sources: Sources, problem: str) -> pd.DataFrame:
    return pd.DataFrame([
        {
            "method": source(f"{problem}-{method}", label(method)), "layers split": one.layers,
            "parameters added": f"{one.parameters:,}", "of the shared (%)": f"{100 * one.parameters / one.shared:.2f}",
            "n": len(sources.groups[f"{problem}-{method}"]),
        }
        for method, one in sources.measured.splits.get(problem, {}).items()
    ])  # fmt: skip


def by_layer(pairs: dict[str, Pair], S: float) -> Figure:
    """The share of conflicting steps in every layer; hollow is without, filled is with layers of the tasks' own."""
    names = list(layer_shares(next(iter(pairs.values()))[0][0], S))
    with look():
        figure = canvas(max(5.5, 2.4 + 1.55 * len(pairs)), 1.0 + 0.155 * len(names))
        panels = figure.subplots(1, len(pairs), squeeze=False, sharex=True, sharey=True)[0]
        for axes, (method, (before, after)) in zip(panels, pairs.items(), strict=True):
            still = set(layer_shares(after[0], S))
            for height in (height for height, name in enumerate(names) if name not in still):
                axes.axhspan(height - 0.5, height + 0.5, color=_OWN, linewidth=0, zorder=0)
            _dots(axes, before, names, S, colour(method), "white")
            _dots(axes, after, names, S, colour(method), colour(method))
            axes.set_title(label(method))
            axes.grid(visible=False, axis="y")
        panels[0].set_yticks(range(len(names)), [in_the_paper(name) for name in names], fontsize=6)
        panels[0].set_ylim(len(names) - 0.5, -0.5)
        figure.supxlabel(f"share of steps with a cosine below {S:g} (hollow: without, filled: with)", fontsize=9)
    return figure


def _dots(axes: Axes, runs: Sequence[Run], names: Sequence[str], S: float, edge: str, face: str) -> None:
    rows = [{name: float(np.mean(share)) for name, share in layer_shares(run, S).items()} for run in runs]
    for height, name in enumerate(names):
        if name in rows[0]:
            found = summarise([row[name] for row in rows])
            if found.low is not None and found.high is not None:
                axes.plot([found.low, found.high], [height, height], "-", color=edge, linewidth=0.8, zorder=1)
            axes.plot(found.mean, height, "o", color=edge, markerfacecolor=face, markersize=3.6)
