"""One method against the sum on every problem with data: figure, table and sentence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.groups import of, problems
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import measure, word
from gradsurgery.evidence.words import BETTER
from gradsurgery.report.format import by_word, gain, shown
from gradsurgery.report.marks import legend
from gradsurgery.report.section import Drawing, Section, Sheet
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import NAMES, canvas, colour, label, line, look
from gradsurgery.report.tables import measured, plainly, source
from gradsurgery.report.titles import title

_MARKS = "osD^v"
FAMILIES = ("sum", "sum, equal compute")

Metrics = Mapping[str, Mapping[str, Any]]


def part(key: str, sources: Sources, aggregator: str = "", family: str = "") -> Section | None:
    """None where no problem with data has the method beside the sum.

    Args:
        key: the paper's.
        sources: everything that was run.
        aggregator: which combines the gradients of the lines that are meant, in a network that is otherwise as it was.
        family: of the lines under study that are meant, where it is not the aggregator that tells them.
    """
    dialled = set(sources.measured.doses)
    found = contrasts(sources, aggregator, family, set(problems(sources.groups)) - dialled)
    if not found:
        return None
    name, places = NAMES[key], {c.problem for c in found}
    drawings = []
    if any(_record(c, sources.metrics).get("delta_m_sum") for c in found):
        caption = f"{name} against the sum on every problem with data that dials nothing; the intervals are over seeds."
        drawings.append(Drawing(f"{key}-across", forest(found, sources.metrics), caption))
    sheets = [Sheet(f"{key}-across", f"{name} against the sum", sheet(found, sources))]
    ran = f"{name} and the sum under one protocol on {_told(places)} with data.{_settings(found, sources)}"
    said = f"{sentence(found)}{_dialled(contrasts(sources, aggregator, family, dialled))}"
    return Section("", ran, said, drawings, sheets)


def _dialled(found: Sequence[Contrast]) -> str:
    """How often each word fell where the conflict is dialled, of which the controls' page draws all; empty for none."""
    counts = Counter(c.verdict for c in found)
    if not counts:
        return ""
    said = ", ".join(f"{text} {count}" for text, count in sorted(counts.items()))
    gains = [c for c in found if c.verdict == BETTER]
    most = max(gains, key=lambda c: c.gain.mean) if gains else None
    largest = f"; the largest gain is {gain(most)}, on {title(most.problem)}" if most else ""
    places = len({c.problem for c in found})
    return (
        f" On {places} of dialled conflict, which Controls draws beside static weights and the sum at equal weights: "
        f"{said}{largest}."
    )


def _settings(found: Sequence[Contrast], sources: Sources) -> str:
    """What the lines set of their aggregator, each set of values once, with the problems that have it."""
    places: dict[str, list[str]] = {}
    for c in found:
        own = sources.groups[f"{c.problem}-{c.method}"][0].declaration["aggregator"]
        said = ", ".join(f"{name} = {value}" for name, value in own.items() if name != "name")
        if said and title(c.problem) not in places.setdefault(said, []):
            places[said].append(title(c.problem))
    return "".join(f" {said} on {', '.join(names)}." for said, names in places.items())


def contrasts(sources: Sources, aggregator: str, family: str, places: AbstractSet[str]) -> list[Contrast]:
    """Every line on these problems with data that is meant and has the sum beside it; one contrast a kind of metric."""
    found = []
    for problem in sorted(places):
        for method, group in of(sources.groups, problem).items():
            if group[0].trajectory is None and _meant(group[0], aggregator, family):
                own = [c for name in FAMILIES for c in sources.contrasts.of(name, problem) if c.method == method]
                found += [c for c in own if c.metric.startswith("all.")]
    return found


def _meant(run: Run, aggregator: str, family: str) -> bool:
    if family:
        return (run.family, run.role.kind) == (family, "study")
    transform, own = (run.declaration.get(slot, {}).get("name") for slot in ("transform", "aggregator"))
    return own == aggregator and transform in (None, "identity")


def _record(c: Contrast, metrics: Metrics) -> Mapping[str, Any]:
    return metrics[f"{c.problem}-{c.method}"]


def forest(found: Sequence[Contrast], metrics: Metrics) -> Figure:
    """Relative change against the sum on every problem, one mark per experiment; left of zero is better."""
    rows = {(c.problem, c.method): c for c in found if _record(c, metrics).get("delta_m_sum")}
    places = list(dict.fromkeys(c.problem for c in rows.values()))
    methods = list(dict.fromkeys(c.method for c in rows.values()))
    with look():
        figure = canvas(7.6, 0.9 + 0.18 * len(rows) + 0.22 * len(places))
        axes = figure.subplots()
        axes.axvline(0.0, color=colour("sum"), linewidth=1.0)
        height, ticks = 0.0, []
        for place in places:
            own = [c for c in rows.values() if c.problem == place]
            ticks.append(height + (len(own) - 1) / 2)
            for contrast in own:
                _bar(axes, contrast, _record(contrast, metrics)["delta_m_sum"], height, methods)
                height += 1.0
            height += 0.8
        axes.set_yticks(ticks, [title(place) for place in places])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Delta-m against the sum (%), paired by seed, 95 % intervals\nleft is better")
        legend(figure, [axes], loc="outside right upper")
    return figure


def _bar(axes: Any, contrast: Contrast, entry: Mapping[str, Any], height: float, methods: list[str]) -> None:
    method = contrast.method
    low, high = entry["ci95"] or (entry["mean"],) * 2
    tint = colour(method)
    axes.plot([low, high], [height, height], line(method, methods), color=tint, linewidth=2.0)
    mark = _MARKS[methods.index(method) % len(_MARKS)]
    axes.plot(entry["mean"], height, mark, color=tint, markersize=5, label=label(method))


def sheet(found: Sequence[Contrast], sources: Sources) -> pd.DataFrame:
    """The contrasts as a table, each row with both levels, the difference, n, scale and track."""
    rows = []
    for c in found:
        how, record = shown(c), _record(c, sources.metrics)
        base = sources.metrics[f"{c.problem}-{c.minus}"]
        rows.append({
            "problem": title(c.problem), "method": source(f"{c.problem}-{c.method}", label(c.method)),
            "metric, mean of tasks": f"{how.name}{how.of_unit}{'' if c.higher else ', lower is better'}",
            "minus sum, paired": how.say(c.difference, signed=True),
            "verdict": c.verdict, "on": c.budget, "n": c.difference.n,
            "scale, track": f"{record['scale']}, {record['track']}",
            "ours": measured(record.get(c.metric), c.metric), "sum": measured(base.get(c.metric), c.metric),
            "Delta-m against the sum (%)": plainly(record.get("delta_m_sum"), signed=True),
        })  # fmt: skip
    return pd.DataFrame(rows)


def sentence(found: Sequence[Contrast]) -> str:
    """How the claim "better than the sum" fares over the problems, both ways, with the numbers of what separates."""
    if not found:
        return "No problem with data was run beside the sum."

    def told(c: Contrast) -> str:
        own = [other for other in found if other.problem == c.problem]
        name = title(c.problem)
        if len({other.method for other in own}) > 1 or len({other.method for other in found}) > 1:
            name += f" ({label(c.method)})"
        return f"{name}, {measure(word(c.metric)).name}" if len({other.metric for other in own}) > 1 else name

    places = {c.problem for c in found}
    return f"Against the sum on {_told(places)} with data, one by one, exploratory: {by_word(found, told)}."


def _told(places: AbstractSet[str]) -> str:
    return f"{len(places)} problem{'' if len(places) == 1 else 's'}"
