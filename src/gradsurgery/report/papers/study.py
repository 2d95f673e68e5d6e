"""The studies' section: what is left of the methods when the plain baselines were tuned as often."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gradsurgery.evidence.groups import studied
from gradsurgery.evidence.measures import Measure, measure
from gradsurgery.evidence.searches import Searched
from gradsurgery.evidence.study import STATIC, SUM, Trial, searched
from gradsurgery.report.format import by_word, first_sentence, gain, level
from gradsurgery.report.search_figure import best_of_n
from gradsurgery.report.section import Drawing, Section, Sheet
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import label
from gradsurgery.report.tables import trials_of
from gradsurgery.report.titles import title

CLAIM = (
    "Kurin et al. (2022) and Xin et al. (2022) say that surgery looks better than constant weights only because the "
    "plain baselines were tuned less. Here every method gets as many random trials as every other, chosen on "
    "validation and judged on fresh seeds."
)


def section(sources: Sources) -> Section | None:
    """Every problem that was studied; None where none was. They have kept their own terms (`evidence.study.check`)."""
    ran, found, briefs = list[str](), list[str](), list[str]()
    drawings, sheets = list[Drawing](), list[Sheet]()
    for problem in sorted(sources.studies):
        trials = sources.studies[problem]
        told = _search(problem, sources, drawings, sheets)
        found += [f"{title(problem)}: {text}" for text in told]
        briefs.append(f"{title(problem)}: {first_sentence(told[0])}")
        rule = next((r["selection"] for r in sources.metrics.values() if r["problem"] == problem), "best-val")
        ran.append(_ran(problem, trials, rule))
    if not ran:
        return None
    return Section(CLAIM, f"Controlled track: {'; '.join(ran)}.", " ".join(found), drawings, sheets, " ".join(briefs))


def _ran(problem: str, trials: Sequence[Trial], rule: str) -> str:
    tried = searched(trials)
    parts = [f"scale {trials[0].scale}", f"selection {rule}"]
    if tried:
        own = next(iter(tried.values()))
        fresh = sorted({t.seed for t in trials if t.kind == "winner"})
        parts.append(f"{len(tried)} methods with {len(own)} trials each on seed {own[0].seed}")
        parts.append(f"winners on seeds {', '.join(map(str, fresh))}")
    failed = sum(t.run is None for t in trials)
    return f"{title(problem)} ({', '.join(parts)}; {len(trials)} runs, {failed} failed)"


def _search(problem: str, sources: Sources, drawings: list[Drawing], sheets: list[Sheet]) -> list[str]:
    found, trials = sources.measured.searches.get(problem, {}), sources.studies[problem]
    if not found:
        return []
    count = next(iter(found.values())).trials
    caption = (
        f"{title(problem)}: left, the best validation to be expected of n random trials of a method, drawn from its "
        f"{count}; right, the test metric of every method's best trial on fresh seeds minus that of tuned static "
        "weights, paired by seed, 95 % intervals."
    )
    shown, compared = how(trials), sources.contrasts.of(f"search, {STATIC}", problem)
    drawings.append(
        Drawing(f"study-{problem}-search", best_of_n(found, compared, shown, studied(sources.groups)), caption)
    )
    heading = f"{title(problem)}: {count} random trials for every method"
    sheets.append(Sheet(f"study-{problem}-search", heading, _linked(table(problem, sources, shown), problem)))
    heading = f"{title(problem)}: expected best validation, 95 % bootstrap intervals over the trials"
    sheets.append(Sheet(f"study-{problem}-best-of-n", heading, _linked(curve_table(found, shown), problem)))
    return [sentence(problem, sources, shown), order_sentence(found)]


def how(trials: Sequence[Trial]) -> Measure:
    """How the first kind of metric of the problem is printed."""
    return measure(next(iter(next(t.run for t in trials if t.run is not None).metrics)))


def table(problem: str, sources: Sources, shown: Measure) -> pd.DataFrame:
    """One row a method: trials, what was chosen, validation before and after, test on fresh seeds, differences."""
    rows = []
    for method, one in sources.measured.searches[problem].items():
        row: dict[str, Any] = {
            "method": label(method), "trials": f"{one.trials} ({one.failed} failed)" if one.failed else one.trials,
            "chosen": "every trial failed" if one.chosen is None else changes(one),
        }  # fmt: skip
        for when, value in (("default", one.default), ("best", one.best)):
            row[f"validation, {when}{shown.of_unit}"] = "failed" if value is None else shown.plain(abs(value))
        row[f"test of the best{shown.of_unit}"] = shown.say(level(one.test)) if one.test else "failed"
        for base in (STATIC, SUM):
            entry = sources.contrasts.get(f"search, {base}", problem, method, base)
            row[f"minus tuned {label(base)}{shown.of_step}"] = gain(entry) if entry else "-"
            row[f"verdict ({label(base)})"] = entry.verdict if entry else "-"
        n = one.test.n if one.test else 0
        row["n"] = f"{n}, failed on {one.missing}" if one.missing else n
        rows.append(row)
    return pd.DataFrame(rows)


def changes(one: Searched) -> str:
    """What the chosen trial set otherwise than the default, or that it is the default."""
    return ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in one.changed) or "the default"


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"({', '.join(_short(v) for v in value)})"
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def sentence(problem: str, sources: Sources, shown: Measure) -> str:
    """Whether any method beats tuned static weights beyond the noise when all were tuned as often."""
    compared = sources.contrasts.of(f"search, {STATIC}", problem)
    if not compared:
        return "Tuned static weights have no finished winner to be held against."
    count = next(iter(sources.measured.searches[problem].values())).trials
    seeds = max(c.difference.n for c in compared)
    terms = f"{count} trials each, n = {seeds} fresh seeds, exploratory"
    return f"Against tuned static weights: {by_word(compared)} ({terms})."


def curve_table(found: Mapping[str, Searched], shown: Measure) -> pd.DataFrame:
    """The curves at a few n, with the interval that the trials drawn leave."""
    return pd.DataFrame([
        {
            "method": label(method),
            **{f"expected best of {n}{shown.of_unit}": shown.say(level(own)) for n, own in one.expected.items()},
            "trials": one.trials,
        }
        for method, one in found.items()
    ])  # fmt: skip


def order_sentence(found: Mapping[str, Searched]) -> str:
    """Who leads at which number of trials, and where the order of all methods changes."""
    count = next(iter(found.values())).trials
    orders = [sorted(found, key=lambda m: (-found[m].curve[n], m)) for n in range(count)]
    leaders = [
        (m, [n + 1 for n, _ in group])
        for m, group in itertools.groupby(enumerate(o[0] for o in orders), lambda e: e[1])
    ]
    led = "; ".join(f"{label(m)} for n = {ns[0]}{f' to {ns[-1]}' if len(ns) > 1 else ''}" for m, ns in leaders)
    moved = [str(n + 1) for n in range(1, count) if orders[n] != orders[n - 1]]
    tail = f"the order of the methods changes at n = {', '.join(moved)}" if moved else "the order never changes"
    return f"Expected best validation of n trials: first is {led}; {tail}."


def _linked(frame: pd.DataFrame, problem: str) -> pd.DataFrame:
    links = [trials_of(problem, text) for text in frame["method"]]
    return frame.assign(method=pd.Series(links, index=frame.index, dtype=object))
