"""The section on all problems at once: not a paper, but what every paper says of its method in general."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gradsurgery.evidence.measures import capital
from gradsurgery.evidence.ranks import BASELINE, LEVEL, Ranking, data_set
from gradsurgery.report.format import bracketed
from gradsurgery.report.section import Drawing, Section, Sheet
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import canvas, colour, label, look
from gradsurgery.report.titles import title

WIDE = 1 / 3  # of the span of ranks: a critical difference above it is said to be wide
CLAIM = (
    "Each paper holds its method to be better in general, not on one data set. Whether it is can only be read across "
    "data sets: ranks within one would count metrics that depend on each other."
)


def section(sources: Sources) -> Section | None:
    """None where too few problems ran the same methods."""
    found = sources.measured.ranking
    if found is None:
        return None
    sheets = [Sheet("ranks-methods", "Mean ranks, and what holds them apart", _methods(found))]
    sheets.append(Sheet("ranks-blocks", "What was ranked: mean rank of the blocks of each problem", _blocks(found)))
    drawing = Drawing("ranks-critical-difference", _figure(found), _caption(found))
    text = _found(found)
    return Section(CLAIM, _ran(sources, found), text, [drawing], sheets, f"{'. '.join(text.split('. ')[:2])}.")


def _figure(ranking: Ranking) -> Figure:
    from scikit_posthocs import critical_difference_diagram  # takes statsmodels along, two seconds

    names = {method: label(method) for method in ranking.ranks}
    apart = pd.DataFrame(ranking.apart)
    with look():
        figure = canvas(7.6, 1.4 + 0.22 * len(names))
        axes = figure.subplots()
        drawn = critical_difference_diagram(
            pd.Series(ranking.ranks).rename(names), apart.rename(index=names, columns=names), ax=axes, alpha=LEVEL,
            color_palette={text: colour(m) for m, text in names.items()}, text_h_margin=0.05,
            label_fmt_left="{label} ({rank:.2f})", label_fmt_right="({rank:.2f}) {label}",
            label_props={"fontsize": 8}, crossbar_props={"color": "#444444", "linewidth": 2.5},
        )  # fmt: skip
        for (bar,) in drawn["crossbars"]:  # their points come in the order of a set, which no two processes share
            bar.set_xdata(sorted(bar.get_xdata()))
        axes.plot([1, 1 + ranking.critical], [2, 2], "|-", color="#444444", linewidth=1.5)
        axes.text(1.1 + ranking.critical, 2, f"critical difference {ranking.critical:.2f}", va="center", fontsize=8)
        axes.set_xlim(1, max(len(names), 2 + ranking.critical))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False)
    return figure


def _caption(ranking: Ranking) -> str:
    span = len(ranking.ranks) - 1
    text = (
        f"Mean ranks over {_count(ranking)}, 1 is best; a bar joins methods that Nemenyi's test at 5 % does not tell "
        f"apart (critical difference {ranking.critical:.2f} of a span of {span} ranks)."
    )
    if ranking.critical > span * WIDE:
        text += " That is a large part of the span: too few blocks for so many methods to be told apart."
    return text


def _count(found: Ranking) -> str:
    sets = len({data_set(p) for p in found.problems})
    return f"{found.blocks} blocks (one task of one problem each) of {len(found.problems)} problems on {sets} data sets"


def _ran(sources: Sources, found: Ranking) -> str:
    runs = [group[0] for group in sources.groups.values() if group[0].problem in found.problems]
    seeds = [len(sources.groups[f"{place}-{BASELINE}"]) for place in found.problems]
    many = f"{min(seeds)} to {max(seeds)}" if min(seeds) < max(seeds) else f"{seeds[0]}"
    most = max(found.problems, key=lambda p: found.problems[p][0])
    return (
        f"The largest set of controlled lines that the same problems ran, chosen before looking at any result: "
        f"{_list(sorted(found.ranks))} on {_count(found)}: "
        f"{'; '.join(map(title, found.problems))}. Scale "
        f"{', '.join(sorted({r.scale for r in runs}))}, track controlled, test metrics under each problem's selection "
        f"rule, means of {many} seeds; no method was tuned, all train at the learning rate of their problem. "
        f"{found.problems[most][0]} of the blocks are tasks of {title(most)} and depend on each other, so that the p "
        "values are too small; ranks with one vote a problem stand beside them."
    )


def _found(ranking: Ranking) -> str:
    worse: dict[str, list[str]] = {}
    for better, method in ranking.pairs():
        worse.setdefault(method, []).append(better)
    told = "; ".join(f"{label(method)} behind {_list(better)}" for method, better in worse.items())
    parts = [
        f"Friedman's test over {ranking.blocks} blocks that all methods are alike: p {_p(ranking.friedman)}",
        f"further apart than the critical difference: {told}" if told else "no two methods are told apart",
    ]
    apart = [m for m, p in ranking.against.items() if p < LEVEL]
    sides = {
        "better": [m for m in apart if ranking.ranks[m] < ranking.ranks[BASELINE]],
        "worse": [m for m in apart if ranking.ranks[m] >= ranking.ranks[BASELINE]],
        "inconclusive": [m for m in ranking.against if m not in apart],
    }
    said = "; ".join(f"{word}: {_list(methods)}" for word, methods in sides.items() if methods)
    parts.append(f"Against the sum (Wilcoxon, Holm over {len(ranking.against)}): {said}")
    parts.append(
        f"best mean rank: {label(next(iter(ranking.ranks)))}; with one vote a problem (n = {len(ranking.problems)}): "
        f"{label(next(iter(ranking.votes)))}"
    )
    return ". ".join(capital(part) for part in parts) + "."


def _list(methods: Sequence[str]) -> str:
    return ", ".join(map(bracketed, methods))


def _methods(ranking: Ranking) -> pd.DataFrame:
    rows = []
    for method, own in ranking.ranks.items():
        alike = [m for m, rank in ranking.ranks.items() if m != method and abs(rank - own) <= ranking.critical]
        rows.append({
            "method": label(method), "mean rank": f"{own:.2f}", "n (blocks)": ranking.blocks,
            "within the critical difference of": _list(alike) or "none",
            "against the sum, p (Wilcoxon, Holm)": _p(ranking.against.get(method)),
            "mean rank, one vote a problem": f"{ranking.votes[method]:.2f}", "n (problems)": len(ranking.problems),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _blocks(ranking: Ranking) -> pd.DataFrame:
    return pd.DataFrame([
        {"problem": title(problem), "data set": data_set(problem).replace("_", " "), "blocks": count,
         **{label(m): f"{own[m]:.2f}" for m in sorted(own)}}
        for problem, (count, own) in ranking.problems.items()
    ])  # fmt: skip


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
