"""Gain over the sum by dose: what every method has over it, beside the sum at equal weights and static weights."""

import dataclasses
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.dose import Dose
from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.statistics import Summary
from gradsurgery.report.marks import legend
from gradsurgery.report.style import canvas, colour, label, look

_AXES = {"cosine": "cosine of the heads", "permuted": "classes in another order, of 10"}
EQUAL, TUNED = "sum, equal weights", "static weights, tuned"
_MARKS = "DP^vXo*<>"  # but for the square, which is the static weights'


@dataclasses.dataclass(frozen=True)
class Point:
    """One dose with what the table of contrasts has of it: every line minus the sum at the same dose."""

    problem: str
    dose: Dose
    gains: Sequence[Contrast]
    kinds: dict[str, str]

    def of_kind(self, kind: str) -> list[Contrast]:
        """Those that have an interval."""
        return [c for c in self.gains if self.kinds[c.method] == kind and c.difference.n > 1]


def metric(points: Sequence[Point]) -> str:
    """What is compared, the mean over tasks."""
    return next((c.metric for point in points for c in point.gains), "all.accuracy")


def figure(points: Sequence[Point]) -> Figure:
    """A panel for every dial, number of tasks and ratio; each method over the position of the dial."""
    panels = sorted({(p.dose.dial, p.dose.tasks, p.dose.ratio) for p in points})
    methods = list(dict.fromkeys(c.method for p in points for c in p.gains if p.kinds[c.method] != "baseline"))
    how = measure(metric(points))
    with look():
        drawn = canvas(7.6, 1.2 + 2.6 * ((len(panels) + 1) // 2))
        grid = drawn.subplots((len(panels) + 1) // 2, 2, sharey=True, squeeze=False).ravel()
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid, panels, strict=False):
            own = [p for p in points if (p.dose.dial, p.dose.tasks, p.dose.ratio) == panel]
            _panel(axes, own, methods, how.factor)
            axes.set_xlabel(_AXES[panel[0]])
            axes.set_title(f"{panel[1]} tasks, last loss weighs {panel[2]:g}")
        for axes in grid[: len(panels) : 2]:
            axes.set_ylabel(f"minus the sum at the same dose{how.of_step}")
        legend(drawn, grid[: len(panels)], loc="outside lower center", ncols=4)
    return drawn


def _panel(axes: Axes, points: Sequence[Point], methods: Sequence[str], factor: float) -> None:
    axes.axhline(0.0, color=colour("sum"), linewidth=0.9, linestyle=":")
    rows: list[tuple[str, str, str, dict[int, Summary]]] = [
        (label(m), colour(m), _MARKS[i % len(_MARKS)],
         {x: c.gain for x, p in enumerate(points) for c in p.gains if c.method == m})
        for i, m in enumerate(methods)
    ]  # fmt: skip
    static = {x: p.dose.static for x, p in enumerate(points) if p.dose.static is not None}
    equal = {x: p.dose.equal for x, p in enumerate(points) if p.dose.equal is not None and p.dose.ratio != 1.0}
    rows = [(TUNED, colour("static"), "s", static), *rows, (EQUAL, colour("sum"), "o", equal)]
    rows = [row for row in rows if row[3]]
    for place, (name, tint, mark, found) in enumerate(rows):
        shift = 0.6 * (place - (len(rows) - 1) / 2) / max(len(rows), 6)
        at = [x + shift for x in found]
        for x, summary in zip(at, found.values(), strict=True):
            if summary.low is not None and summary.high is not None:
                axes.vlines(x, factor * summary.low, factor * summary.high, color=tint, linewidth=1.4, alpha=0.6)
        face = "none" if name == EQUAL else tint
        axes.plot(at, [factor * s.mean for s in found.values()], mark, color=tint, markerfacecolor=face, markersize=5,
                  linestyle="-", linewidth=0.6, label=name)  # fmt: skip
    axes.set_xticks(range(len(points)), [f"{p.dose.position:g}" for p in points])
    axes.set_xlim(-0.6, len(points) - 0.4)
    axes.grid(visible=False, axis="x")
