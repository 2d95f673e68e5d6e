"""The section on dialled conflict: what methods gain over the sum, by what is dialled and by the weights' ratio."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from gradsurgery.evidence.dose import Dose
from gradsurgery.evidence.groups import of
from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.statistics import Summary
from gradsurgery.evidence.words import BETTER
from gradsurgery.report.dose_figure import Point, figure, metric
from gradsurgery.report.format import bracketed, gain
from gradsurgery.report.section import Drawing, Section, Sheet
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import label
from gradsurgery.report.tables import level_of, source

CLAIM = (
    "Surgery is said to help because task gradients conflict. Here the angle between fixed heads dials the conflict, "
    "or the number of classes that a second task has in another order, while each task alone stays as hard; and a "
    "ratio dials how much one loss weighs more than the others. If conflict is what surgery repairs, its gain grows "
    "with it at equal weights too."
)


def section(sources: Sources) -> Section | None:
    """Of the longest scale that has every run which the report's has; None where no problem was dialled."""
    every, own = {"": sources, **sources.others}, _seeds(sources)
    scale, sources = [each for each in every.items() if own <= _seeds(each[1])][-1]
    points = [_point(sources, problem, dose) for problem, dose in sources.measured.doses.items()]
    if not points:
        return None
    points.sort(key=lambda p: (p.dose.dial, p.dose.tasks, p.dose.ratio, p.dose.conflict, p.problem))
    drawn = [point for point in points if point.dose.equal is not None]
    drawings = [Drawing("dose-gain", figure(drawn), _caption(drawn))] if drawn else []
    found = _found(drawn)
    return Section(CLAIM, _ran(sources, points), found, drawings, [_sheet(sources, points, scale)], found)


def _seeds(sources: Sources) -> Counter[tuple[str, str]]:
    """How many every line of a dialled problem has, by problem and method."""
    return Counter({
        (problem, method): len(group)
        for problem in sources.measured.doses
        for method, group in of(sources.groups, problem).items()
    })  # fmt: skip


def _point(sources: Sources, problem: str, dose: Dose) -> Point:
    kinds = {method: group[0].role.kind for method, group in of(sources.groups, problem).items()}
    return Point(problem, dose, sources.contrasts.of("sum", problem, "all"), kinds)


def _ran(sources: Sources, points: Sequence[Point]) -> str:
    runs = [sources.groups[f"{point.problem}-sum"] for point in points]
    run, seeds = runs[0][0], max(len(group) for group in runs)
    settings, rows = run.declaration["settings"], run.test_size or 0
    steps = len(run.epochs) * (settings["train_size"] // settings["batch_size"])
    length = f"{steps} steps" if steps else f"{len(run.epochs)} epochs"
    return (
        f"Fashion-MNIST, {length} of {settings['batch_size']} pictures, {rows:,} test pictures, a small convolutional "
        "trunk: under linear heads that are drawn once and stay, of which every two meet at the dialled cosine, or "
        "under one output layer, where the labels of as many classes as dialled are moved on by one for the second "
        f"task. The last loss weighs as much as the ratio says. Scale {run.scale}, {seeds} seeds; means are over tasks "
        "and differences are paired by seed, which has the same heads but for their angle."
    )


def _found(points: Sequence[Point]) -> str:
    """Two sentences, on equal weights and on unequal ones, and one on what each task does alone."""
    if not points:
        return "No dialled problem has the sum at equal weights beside it."
    how, parts = measure(metric(points)), list[str]()
    for equal, words in ((True, "At equal weights"), (False, "At unequal weights")):
        own = [point for point in points if (point.dose.ratio == 1.0) == equal]
        tried = [(point, c) for point in own for c in point.of_kind("study")]
        if not tried:
            continue
        better = [(point, c) for point, c in tried if c.verdict == BETTER]
        text = f"{words} {len(better)} of {len(tried)} comparisons of a method with the sum are a gain"
        most, best = max(better or tried, key=lambda pair: pair[1].gain.mean)
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


def _place(point: Point) -> str:
    dose = point.dose
    tasks = "" if dose.tasks == 2 else f"{dose.tasks} tasks, "
    return f"{tasks}{dose.dial} {dose.position:g}, ratio {dose.ratio:g}"


def _sheet(sources: Sources, points: Sequence[Point], scale: str) -> Sheet:
    how, rows = measure(metric(points)), list[dict[str, object]]()
    for point in points:
        dose, group = point.dose, of(sources.groups, point.problem)
        shared = {
            "tasks": dose.tasks, "dial": f"{dose.dial} {dose.position:g}", "ratio": f"{dose.ratio:g}",
            "optimiser": group["sum"][0].declaration["settings"]["optimizer"],
            "median cosine of the gradients": _cosine(dose.measured),
        }  # fmt: skip
        gains = {c.method: c for c in point.gains}
        for method in ["sum", *gains]:
            run = group[method][0]
            against = dose.beyond.get(method)
            if method == "sum" and dose.equal is not None and dose.ratio != 1.0:
                against = dose.equal.turned()
            rows.append({
                **shared, "method": source(run.experiment, label(method)).at(scale),
                f"{how.name}, mean of tasks{how.of_unit}": level_of(sources.metrics, run, metric(points)),
                f"minus the sum{how.of_step}": gain(gains[method]) if method in gains else "-",
                f"minus the sum at equal weights{how.of_step}": how.say(against, signed=True),
                "n": len(group[method]),
            })  # fmt: skip
    return Sheet("dose", "Every line at every dose", pd.DataFrame(rows))


def _cosine(found: Summary | None) -> str:
    return "-" if found is None else f"{found.mean:+.2f}"


def _caption(points: Sequence[Point]) -> str:
    n = sorted({c.difference.n for point in points for c in point.gains})
    seeds = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    places = "; ".join(f"{_place(p)}: {_cosine(p.dose.measured)}" for p in points)
    return (
        "What each method has over the sum at the same dose, by what was dialled (further to the right), number "
        f"of tasks and weight of the last loss; 95 % intervals over {seeds} seeds. Black rings: the sum at "
        "equal weights. Grey squares: static weights chosen on validation. Median cosine of the gradients on the "
        f"sum's way: {places}."
    )
