"""The same as figures."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.statistics import Summary
from gradsurgery.report.style import canvas, colour, look
from gradsurgery.report.tabular.standing import BASE, UNIT, Standing, is_classical, name, task
from gradsurgery.report.tabular.tables import recorded

_PAINTS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#A6761D", "#000000")
_PANELS = {"mu": "weight of the own tower", "xi_a": "cosine, own and lent tower", "xi_b": "cosine, other task's tower"}
_TABLES = {"drgrad": "DRGrad's table", "mmoe": "MMoE's table", "users": "users (ours)"}


def census(found: Standing) -> Figure:
    """Levels beside the published ones, and differences from MMoE of both tasks."""
    first = found.metrics[0]
    order = [method for method in found.best_first() if method in found.levels[first]][::-1]
    with look():
        figure = canvas(9.4, 1.1 + 0.27 * len(order))
        left, right = figure.subplots(1, 2, sharey=True)
        for height, method in enumerate(order):
            _bar(left, found.levels[first][method], height, colour(method), 1.0, "full")
            if (theirs := found.theirs(method, first)) is not None:
                left.plot(theirs, height, "D", markerfacecolor="none", markeredgecolor=colour(method), markersize=5)
        reach = 1.0
        for metric, shift, fill in zip(found.metrics, (0.15, -0.15), ("full", "none"), strict=True):
            for method, comparison in found.compared[metric].items():
                if method in order and not is_classical(found.lines[method]):
                    _bar(right, comparison.difference, order.index(method) + shift, colour(method), UNIT, fill)
                    reach = max(reach, *(abs(end) / UNIT for end in _ends(comparison.difference)))
            right.plot([], [], "o", color="#444444", markerfacecolor=_inside("#444444", fill), label=task(metric))
        right.axvline(0.0, color=colour(BASE), linewidth=1.0)
        right.set_xlim(-1.08 * reach, 1.08 * reach)
        figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
        left.set_yticks(range(len(order)), [name(method) for method in order])
        left.set_xlabel(f"test AUC, {task(first)}")
        right.set_xlabel("AUC minus that of MMoE (1e-4)")
    return figure


def router(routed: Mapping[str, Sequence[Run]]) -> Figure:
    """The updater's weight and the router's two cosines over training, a line a seed."""
    with look():
        figure = canvas(9.4, 3.2)
        for axes, (key, text) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
            for method, paint in zip(routed, _PAINTS, strict=False):
                for place, (steps, values) in enumerate(recorded(routed[method], key)):
                    said = {"label": name(method)} if not place else {}
                    axes.plot(steps, values, "-", color=paint, linewidth=0.8, alpha=0.8, **said)
            axes.set_xscale("log")
            axes.set_xlabel("training step")
            axes.set_title(text)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def made_up(standings: Sequence[Standing]) -> Figure:
    """The first task's AUC against the correlation of the labels, a panel for each table's maker."""
    shown = {key: [s for s in standings if s.problem.startswith(key)] for key in _TABLES}
    shown = {key: members for key, members in shown.items() if members}
    methods = sorted({method for found in standings for method in found.lines})
    with look():
        figure = canvas(9.4, 3.6)
        panels = figure.subplots(
            1, len(shown), squeeze=False, width_ratios=[len(members) for members in shown.values()]
        )
        for axes, (key, members) in zip(panels[0], shown.items(), strict=True):
            for column, found in enumerate(members):
                levels = found.levels[found.metrics[0]]
                for place, method in enumerate(method for method in methods if method in levels):
                    x = column + 0.7 * ((place + 0.5) / len(levels) - 0.5)
                    paint, ends = _PAINTS[methods.index(method) % len(_PAINTS)], _ends(levels[method])
                    axes.plot([x, x], [min(ends), max(ends)], "-", color=paint, linewidth=1.4)
                    axes.plot(x, levels[method].mean, "o", color=paint, markersize=4)
            axes.set_xticks(range(len(members)), [f"{round(found.correlation, 2) + 0.0:+.2f}" for found in members])
            axes.set_xlim(-0.5, len(members) - 0.5)
            axes.grid(visible=False, axis="x")
            axes.set_title(_TABLES[key])
        figure.supxlabel("correlation of the two labels", fontsize=9)
        panels[0][0].set_ylabel("test AUC, first task")
        for method in methods:
            panels[0][0].plot([], [], "o", color=_PAINTS[methods.index(method) % len(_PAINTS)], label=name(method))
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _bar(axes: Axes, summary: Summary, height: int | float, paint: str, unit: float, fill: str) -> None:
    ends = _ends(summary)
    axes.plot([min(ends) / unit, max(ends) / unit], [height, height], "-", color=paint, linewidth=1.6)
    inside = _inside(paint, fill)
    axes.plot(summary.mean / unit, height, "o", color=paint, markerfacecolor=inside, markersize=5)


def _inside(paint: str, fill: str) -> str:
    return paint if fill == "full" else "#ffffff"


def _ends(summary: Summary) -> tuple[float, float]:
    if summary.low is None or summary.high is None:
        return summary.mean, summary.mean
    return summary.low, summary.high
