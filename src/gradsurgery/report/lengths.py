"""Effect against training length: what a claim's difference came to at every scale that was run."""

from collections.abc import Sequence
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gradsurgery.evidence.measures import measure
from gradsurgery.ledger.findings import Finding, is_cell
from gradsurgery.report.section import Drawing
from gradsurgery.report.style import canvas, colour, look

CAPTION = (
    "Our difference with its 95 % interval after so many optimiser steps, one dot a scale with its number of seeds; "
    "dashed: what is published."
)
_ACROSS = 4


def drawing(key: str, found: Sequence[Finding]) -> Drawing | None:
    """One paper's claims; None where none of them was run at several lengths."""
    several = [finding for finding in found if finding.lengths and not is_cell(finding.record)]
    if not several:
        return None
    return Drawing(f"{key}-length", figure(several), CAPTION)


def figure(found: Sequence[Finding]) -> Figure:
    """A panel a claim: the difference over optimiser steps."""
    rows = -(-len(found) // _ACROSS)
    with look():
        drawn = canvas(2.6 * min(len(found), _ACROSS), 2.5 * rows)
        grid = drawn.subplots(rows, min(len(found), _ACROSS), squeeze=False).ravel()
        for axes, finding in zip(grid, found, strict=False):
            _panel(axes, finding)
        for axes in grid[len(found) :]:
            axes.set_visible(False)
    return drawn


def _panel(axes: Axes, finding: Finding) -> None:
    answer, contrast = finding.record.answered_by, finding.contrast
    assert answer is not None
    assert contrast is not None
    how, tint = measure(answer.metric), colour(contrast.method)
    axes.axhline(0.0, color=colour("sum"), linewidth=0.9)
    if finding.record.value is not None and finding.effect is not None:
        axes.axhline(finding.record.value, color="#c05a1a", linewidth=1.0, linestyle="--")
    places = range(len(finding.lengths))
    for place, length in zip(places, finding.lengths, strict=True):
        scaled = length.difference.moved(how.factor)
        if scaled.low is not None and scaled.high is not None:
            axes.vlines(place, scaled.low, scaled.high, color=tint, linewidth=2.0)
        axes.plot(place, scaled.mean, "o", color=tint, markersize=5)
        axes.annotate(f"n = {scaled.n}", (place, scaled.mean), xytext=(6, 0), textcoords="offset points", fontsize=7,
                      verticalalignment="center")  # fmt: skip
    axes.set_xticks(places, [f"{length.steps:,}\n{length.scale}" for length in finding.lengths])
    axes.set_xlim(-0.5, len(finding.lengths) - 0.2)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=False, axis="x")
    axes.set_title(fill(finding.record.short or finding.record.statement, 26), fontsize=8)
    axes.set_ylabel(fill(f"{finding.record.metric.split(', ')[0]}{how.of_step}", 26), fontsize=8)
