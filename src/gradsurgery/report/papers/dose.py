"""The section on dialled conflict: what methods gain over the sum, by the angle of the heads and the weights' ratio."""

import dataclasses
from collections.abc import Sequence

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradsurgery.evidence.contrasts import BETTER, Contrast
from gradsurgery.evidence.dose import Dose
from gradsurgery.evidence.groups import of
from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.statistics import Summary
from gradsurgery.report.format import bracketed, gain
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet
from gradsurgery.report.style import canvas, colour, label, look
from gradsurgery.report.tables import level_of, source

CLAIM = (
    "Surgery is said to help because task gradients conflict. Here the angle between fixed heads dials the conflict, "
    "while each task alone stays as hard, and a ratio dials how much one loss weighs more than the others: if conflict "
    "is what surgery repairs, its gain grows with the angle at equal weights too."
)
EQUAL, TUNED = "sum, equal weights", "static weights, tuned"
_MARKS = "DP^vXo*<>"  # but for the square, which is the static weights'


@dataclasses.dataclass(frozen=True)
class _Point:
    """One dose with what the table of contrasts has of it: every line minus the sum at the same dose."""

    problem: str
    dose: Dose
    gains: Sequence[Contrast]
    kinds: dict[str, str]

    def of_kind(self, kind: str) -> list[Contrast]:
        """Those that have an interval."""
        return [c for c in self.gains if self.kinds[c.method] == kind and c.difference.n > 1]


def section(evidence: Evidence) -> Section | None:
    """None where no problem was dialled."""
    points = [_point(evidence, problem, dose) for problem, dose in evidence.measured.doses.items()]
    if not points:
        return None
    points.sort(key=lambda p: (p.dose.tasks, p.dose.ratio, -p.dose.cosine, p.problem))
    drawn = [point for point in points if point.dose.equal is not None]
    drawings = [Drawing("dose-gain", _figure(drawn), _caption(drawn))] if drawn else []
    found = _found(drawn)
    return Section(CLAIM, _ran(evidence, points), found, drawings, [_sheet(evidence, points)], found)


def _point(evidence: Evidence, problem: str, dose: Dose) -> _Point:
    kinds = {method: group[0].role.kind for method, group in of(evidence.groups, problem).items()}
    return _Point(problem, dose, evidence.contrasts.of("sum", problem, "all"), kinds)


def _ran(evidence: Evidence, points: Sequence[_Point]) -> str:
    runs = [evidence.groups[f"{point.problem}-sum"] for point in points]
    run, seeds = runs[0][0], max(len(group) for group in runs)
    settings, rows = run.declaration["settings"], run.test_size or 0
    steps = len(run.epochs) * (settings["train_size"] // settings["batch_size"])
    length = f"{steps} steps" if steps else f"{len(run.epochs)} epochs"
    return (
        f"Fashion-MNIST, {length} of {settings['batch_size']} pictures, {rows:,} test pictures, a small convolutional "
        "trunk under linear heads that are drawn once and stay; every two heads meet at the dialled cosine, and the "
        f"last loss weighs as much as the ratio says. Scale {run.scale}, {seeds} seeds; means are over tasks and "
        "differences are paired by seed, which has the same heads but for their angle."
    )


def _found(points: Sequence[_Point]) -> str:
    """Two sentences, on equal weights and on unequal ones, and one on what each task does alone."""
    if not points:
        return "No dialled problem has the sum at equal weights beside it."
    how, parts = measure(_metric(points)), list[str]()
    for equal, words in ((True, "At equal weights"), (False, "At unequal weights")):
        own = [point for point in points if (point.dose.ratio == 1.0) == equal]
        tried = [(point, c) for point in own for c in point.of_kind("study")]
        if not tried:
            continue
        better = [(point, c) for point, c in tried if c.verdict == BETTER]
        text = f"{words} {len(better)} of {len(tried)} comparisons of a method with the sum are a gain"
        most, best = max(tried, key=lambda pair: pair[1].gain.mean)
        text += f"; the largest is {bracketed(best.method)} at {_place(most)}, {gain(best)} {how.step}"
        if not equal:
            over = sum(c.method in point.dose.above for point, c in tried)
            text += f". Of the {len(tried)}, {over} end above the sum at equal weights"
            if (equal_sum := most.dose.equal) is not None:
                text += f", which at {_place(most)} has {how.say(equal_sum, signed=True)} over the sum"
            if (static := most.dose.static) is not None:
                text += f", as tuned static weights have {how.say(static, signed=True)}"
        parts.append(text)
        if fakes := [c for point in own for c in point.of_kind("placebo")]:
            parts.append(f"Placebos gain in {sum(c.verdict == BETTER for c in fakes)} of {len(fakes)} comparisons")
    if alone := [point for point in points if point.dose.alone is not None]:
        levels = [f"{how.say(point.dose.alone)} at {_place(point)}" for point in alone]
        parts.append(f"A task alone reaches, in {how.unit or 'its unit'}, {'; '.join(levels)}")
    return f"{'. '.join(parts)}."


def _metric(points: Sequence[_Point]) -> str:
    return next((c.metric for point in points for c in point.gains), "all.accuracy")


def _place(point: _Point) -> str:
    dose = point.dose
    heads = "" if dose.tasks == 2 else f"{dose.tasks} heads, "
    return f"{heads}cosine {dose.cosine:g}, ratio {dose.ratio:g}"


def _sheet(evidence: Evidence, points: Sequence[_Point]) -> Sheet:
    how, rows = measure(_metric(points)), list[dict[str, object]]()
    for point in points:
        dose, group = point.dose, of(evidence.groups, point.problem)
        shared = {
            "heads": dose.tasks, "cosine": f"{dose.cosine:g}", "ratio": f"{dose.ratio:g}",
            "median cosine of the gradients": _cosine(dose.measured),
        }  # fmt: skip
        gains = {c.method: c for c in point.gains}
        for method in ["sum", *gains]:
            run = group[method][0]
            against = dose.beyond.get(method)
            if method == "sum" and dose.equal is not None and dose.ratio != 1.0:
                against = dose.equal.turned()
            rows.append({
                **shared, "method": source(run.experiment, label(method)),
                f"{how.name}, mean of tasks{how.of_unit}": level_of(evidence.metrics, run, _metric(points)),
                f"minus the sum{how.of_step}": gain(gains[method]) if method in gains else "-",
                f"minus the sum at equal weights{how.of_step}": how.say(against, signed=True),
                "n": len(group[method]),
            })  # fmt: skip
    return Sheet("dose", "Every line at every dose", pd.DataFrame(rows))


def _cosine(found: Summary | None) -> str:
    return "-" if found is None else f"{found.mean:+.2f}"


def _caption(points: Sequence[_Point]) -> str:
    n = sorted({c.difference.n for point in points for c in point.gains})
    seeds = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    places = "; ".join(f"{_place(p)}: {_cosine(p.dose.measured)}" for p in points)
    return (
        "What each method has over the sum at the same dose, by cosine of the heads (conflict grows to the right), "
        f"number of heads and weight of the last loss; 95 % intervals over {seeds} seeds. Black rings: the sum at "
        "equal weights. Grey squares: static weights chosen on validation. Median cosine of the gradients on the "
        f"sum's way: {places}."
    )


def _figure(points: Sequence[_Point]) -> Figure:
    panels = sorted({(p.dose.tasks, p.dose.ratio) for p in points})
    methods = list(dict.fromkeys(c.method for p in points for c in p.gains if p.kinds[c.method] != "baseline"))
    how = measure(_metric(points))
    with look():
        figure = canvas(7.6, 1.2 + 2.6 * ((len(panels) + 1) // 2))
        grid = figure.subplots((len(panels) + 1) // 2, 2, sharey=True, squeeze=False).ravel()
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        for axes, (tasks, ratio) in zip(grid, panels, strict=False):
            own = [p for p in points if (p.dose.tasks, p.dose.ratio) == (tasks, ratio)]
            _panel(axes, own, methods, how.factor)
            axes.set_title(f"{tasks} heads, last loss weighs {ratio:g}")
        for axes in grid[: len(panels) : 2]:
            axes.set_ylabel(f"minus the sum at the same dose{how.of_step}")
        handles: dict[str, Artist] = {}
        for axes in grid[: len(panels)]:
            handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _panel(axes: Axes, points: Sequence[_Point], methods: Sequence[str], factor: float) -> None:
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
    axes.set_xticks(range(len(points)), [f"{p.dose.cosine:g}" for p in points])
    axes.set_xlim(-0.6, len(points) - 0.4)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("cosine of the heads")
