"""The comparisons that a paper planned: every difference as a picture and a table a problem, and a sentence a pair."""

from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import fill

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.groups import of
from gradsurgery.evidence.measures import measure, worded
from gradsurgery.evidence.words import BETTER, WORSE
from gradsurgery.report.format import by_word, gain, shown
from gradsurgery.report.marks import effect
from gradsurgery.report.section import Drawing, Section, Sheet, declared
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import canvas, colour, label, look
from gradsurgery.report.tables import source
from gradsurgery.report.titles import setting, title

Names = Mapping[str, str]


def part(
    key: str, sources: Sources, family: str, told: list[list[str]], names: Names | None = None,
    reading: str = "",
) -> Section | None:  # fmt: skip
    """None where none of the comparisons was run.

    Args:
        key: the paper's.
        sources: everything that was run.
        family: of the comparisons, as the paper plans them.
        told: which of them are put into words: a line, and what it is held against.
        names: of lines, where the paper calls them otherwise.
        reading: the line whose verdicts the paper's readings are of; empty where it declares none.
    """
    found = {problem: sources.contrasts.of(family, problem) for problem in sources.contrasts.problems(family)}
    if not found:
        return None
    names, drawings, sheets, ran = names or {}, list[Drawing](), list[Sheet](), list[str]()
    for problem, own in found.items():
        stem, runs = f"{key}-{family}-{problem}", of(sources.groups, problem)
        drawings.append(Drawing(stem, forest(own, names), f"{title(problem)}: planned comparisons, 95 % intervals."))
        sheets.append(Sheet(stem, f"{title(problem)}: planned comparisons", sheet(own, names)))
        lines = {m for c in own for m in (c.method, c.minus)}
        ran.append(f"{title(problem)}: {setting({m: runs[m] for m in runs if m in lines})}")
    said = [text for ends in told if (text := sentence([c for own in found.values() for c in own], ends, names))]
    if reading:
        verdicts: dict[str, list[str]] = {}
        for c in (c for own in found.values() for c in own if c.method == reading):
            verdicts.setdefault(c.minus, []).append(c.verdict)
        said.append(declared(sources, key).reading(verdicts))
    return Section("", " ".join(ran), " ".join(filter(None, said)), drawings, sheets)


def sentence(found: Sequence[Contrast], ends: Sequence[str], names: Names) -> str:
    """Where one line is better or worse than another, and how often neither; empty where nothing was compared."""
    own = [c for c in found if [c.method, c.minus] == list(ends)]
    if not own:
        return ""
    several = {what: len({getattr(c, what) for c in own}) > 1 for what in ("problem", "metric")}

    def place(c: Contrast) -> str:
        parts = [title(c.problem)] if several["problem"] else []
        return ", ".join([*parts, _short(c.metric)] if several["metric"] or not parts else parts)

    apart = [c for c in own if c.verdict in (BETTER, WORSE)]
    rest = Counter(c.verdict for c in own if c not in apart)
    said = [by_word(apart, place)] if apart else []
    said += [f"{word} {f'in {count} of {len(own)} comparisons' if len(own) > 1 else f'({gain(own[0])})'}"
             for word, count in rest.items()]  # fmt: skip
    terms = sorted({f"n = {c.difference.n}, {c.pairing}, {c.budget}" for c in own})
    return f"{' against '.join(_name(end, names) for end in ends)}: {'; '.join(said)} ({'; '.join(terms)})."


def sheet(found: Sequence[Contrast], names: Names) -> pd.DataFrame:
    """A row a pair of lines; of every metric the difference and its verdict."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for c in found:
        row = rows.setdefault((c.method, c.minus), {
            "method": source(f"{c.problem}-{c.method}", _name(c.method, names)),
            "minus": source(f"{c.problem}-{c.minus}", _name(c.minus, names)),
        })  # fmt: skip
        terms = ", ".join(filter(None, (shown(c).step, "" if c.higher else "lower is better")))
        row[f"{_short(c.metric)}{f' ({terms})' if terms else ''}"] = shown(c).say(c.difference, True)
        row[f"{_short(c.metric)}, verdict"] = c.verdict
        row |= {"on": c.budget, "seeds": "paired" if c.paired else "unpaired", "n": c.difference.n}
    frame = pd.DataFrame(list(rows.values())).fillna("-")
    last = ["on", "seeds", "n"]
    return frame[[*(name for name in frame.columns if name not in last), *last]]


def forest(found: Sequence[Contrast], names: Names) -> Figure:
    """A panel a metric and a row a pair: the difference with its interval."""
    pairs, metrics = (
        list(dict.fromkeys(keys)) for keys in zip(*(((c.method, c.minus), c.metric) for c in found), strict=True)
    )
    told = len({minus for _, minus in pairs}) > 1
    with look():
        figure = canvas(2.4 + 2.6 * len(metrics), 0.9 + 0.24 * len(pairs))
        panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            axes.axvline(0.0, color=colour("sum"), linewidth=1.0)
            how = measure(metric)
            for c in (c for c in found if c.metric == metric):
                effect(axes, pairs.index((c.method, c.minus)), c.difference.moved(how.factor), colour(c.method))
                axes.set_xlabel(f"{fill(_short(metric), 26)}{how.of_step}\n{'right' if c.higher else 'left'} is better")
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.grid(visible=False, axis="y")
        minus = {pair: f" minus {_name(pair[1], names)}" if told else "" for pair in pairs}
        panels[0].set_yticks(range(len(pairs)), [f"{_name(pair[0], names)}{minus[pair]}" for pair in pairs])
        panels[0].invert_yaxis()
    return figure


def _short(metric: str) -> str:
    return worded(metric).split(" (")[0]


def _name(method: str, names: Names) -> str:
    return names.get(method, label(method))
