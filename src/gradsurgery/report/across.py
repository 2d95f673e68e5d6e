"""One method against the sum on every problem with data: the figure, the table and the sentence that papers share."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from gradsurgery.evidence.groups import of, problems
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import capital, measure, word
from gradsurgery.evidence.statistics import Summary
from gradsurgery.ledger.judging import direction
from gradsurgery.report.section import Evidence
from gradsurgery.report.style import canvas, colour, label, line, look
from gradsurgery.report.tables import measured, source, spread
from gradsurgery.report.titles import title

LEVEL = 0.05  # of Holm's correction over all methods that were held against the sum on the same problem
_MARKS = "osD^v"


@dataclasses.dataclass(frozen=True)
class Contrast:
    """One experiment beside the sum of the same problem and seeds, on one kind of metric."""

    run: Run
    record: Mapping[str, Any]
    metric: str
    verdict: str

    @property
    def difference(self) -> Mapping[str, Any]:
        entry: Mapping[str, Any] = self.record["minus_sum"][self.metric]
        return entry


def contrasts(evidence: Evidence, chosen: Callable[[Run], bool]) -> list[Contrast]:
    """Every experiment with data that `chosen` takes and that has the sum beside it; one entry per kind of metric."""
    found = []
    for problem in problems(evidence.groups):
        for group in of(evidence.groups, problem).values():
            run = group[0]
            record = evidence.metrics[run.experiment]
            if run.trajectory is None and chosen(run) and record.get("minus_sum"):
                names = [name for name in record["minus_sum"] if name.startswith("all.")]
                found += [Contrast(run, record, name, against_sum(record["minus_sum"][name])) for name in names]
    return found


def against_sum(entry: Mapping[str, Any]) -> str:
    """The verdict word for the claim that a method is better than the sum, corrected for the methods compared."""
    low, high = entry["ci95"] or (None, None)
    summary = Summary(entry["n"], entry["mean"], entry["sd"], low, high)
    if entry["ci95"] and (entry.get("p_holm") or 0.0) >= LEVEL:
        return "no difference detected"
    return direction(summary, "higher" if entry["higher"] else "lower", entry.get("test_noise", 0.0))


def forest(found: Sequence[Contrast]) -> Figure:
    """Relative change against the sum on every problem, one mark per experiment; left of zero is better."""
    rows = {c.run.experiment: c for c in found if c.record.get("delta_m_sum")}
    places = list(dict.fromkeys(c.run.problem for c in rows.values()))
    methods = list(dict.fromkeys(c.run.method for c in rows.values()))
    with look():
        figure = canvas(7.6, 0.9 + 0.18 * len(rows) + 0.22 * len(places))
        axes = figure.subplots()
        axes.axvline(0.0, color=colour("sum"), linewidth=1.0)
        height, ticks = 0.0, []
        for place in places:
            own = [c for c in rows.values() if c.run.problem == place]
            ticks.append(height + (len(own) - 1) / 2)
            for contrast in own:
                _bar(axes, contrast, height, methods)
                height += 1.0
            height += 0.8
        axes.set_yticks(ticks, [title(place) for place in places])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Delta-m against the sum (%), paired by seed, 95 % intervals\nleft is better")
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        figure.legend(list(handles.values()), list(handles), loc="outside right upper", frameon=False)
    return figure


def _bar(axes: Any, contrast: Contrast, height: float, methods: list[str]) -> None:
    entry, method = contrast.record["delta_m_sum"], contrast.run.method
    low, high = entry["ci95"] or (entry["mean"],) * 2
    tint = colour(method)
    axes.plot([low, high], [height, height], line(method, methods), color=tint, linewidth=2.0)
    mark = _MARKS[methods.index(method) % len(_MARKS)]
    axes.plot(entry["mean"], height, mark, color=tint, markersize=5, label=label(method))


def sheet(found: Sequence[Contrast], evidence: Evidence) -> pd.DataFrame:
    """The contrasts as a table, each row with both levels, the difference, n, scale and track."""
    rows = []
    for c in found:
        how = measure(c.metric)
        base = evidence.metrics[f"{c.run.problem}-sum"]
        unit = f" ({how.unit})" if how.unit else ""
        rows.append({
            "problem": title(c.run.problem), "method": source(c.run.experiment, label(c.run.method)),
            "metric, mean of tasks": f"{how.name}{unit}{'' if c.difference['higher'] else ', lower is better'}",
            "minus sum, paired": measured(c.difference, c.metric, signed=True),
            "verdict": c.verdict, "n": c.difference["n"], "scale, track": f"{c.run.scale}, {c.run.track}",
            "ours": measured(c.record.get(c.metric), c.metric), "sum": measured(base.get(c.metric), c.metric),
            "Delta-m against the sum (%)": spread(c.record.get("delta_m_sum"), signed=True),
        })  # fmt: skip
    return pd.DataFrame(rows)


def sentence(found: Sequence[Contrast]) -> str:
    """How the claim "better than the sum" fares over the problems, both ways, with the numbers of what separates."""
    if not found:
        return "No problem with data was run beside the sum."
    parts = []
    for verdict, words in (
        ("direction only", "better than the sum beyond the noise of seeds and test set (direction only)"),
        ("not reproduced", "worse beyond that noise (not reproduced)"),
        ("no difference detected", "no difference detected"),
        ("not run", "one seed only, no interval"),
    ):
        own = [c for c in found if c.verdict.startswith(verdict)]
        if own:
            detail = verdict in ("direction only", "not reproduced")
            parts.append(f"{words} in {len(own)}: {'; '.join(_said(c, detail, found) for c in own)}")
    places = len({c.run.problem for c in found})
    start = f"Against the sum on {places} problems with data ({len(found)} comparisons): "
    return start + ". ".join([parts[0], *(capital(part) for part in parts[1:])]) + "."


def _said(contrast: Contrast, detail: bool, found: Sequence[Contrast]) -> str:
    name = title(contrast.run.problem)
    own = [c for c in found if c.run.problem == contrast.run.problem]
    if len({c.run.method for c in own}) > 1 or len({c.run.method for c in found}) > 1:
        name += f" ({label(contrast.run.method)})"
    if len({c.metric for c in own}) > 1:
        name += f", {measure(word(contrast.metric)).name}"
    if not detail:
        return name
    how = measure(contrast.metric)
    unit = f" {how.step}" if how.step else ""
    return f"{name} {measured(contrast.difference, contrast.metric, signed=True)}{unit}"
