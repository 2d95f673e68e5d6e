"""The section on all problems at once: not a paper, but what every paper says of its method in general."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gradsurgery.evidence.measures import capital
from gradsurgery.report import ranks
from gradsurgery.report.equivalence import REGION, SURE, Posterior, posteriors, words
from gradsurgery.report.ranks import BASELINE, Ranking
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet
from gradsurgery.report.style import canvas, colour, label, look
from gradsurgery.report.titles import title

WIDE = 1 / 3  # of the span of ranks: a critical difference above it is said to be wide
CLAIM = (
    "Each paper holds its method to be better in general, not on one data set. Whether it is can only be read across "
    "data sets: ranks within one would count metrics that depend on each other."
)


def section(evidence: Evidence) -> Section | None:
    """None where too few problems ran the same methods."""
    found = ranks.levels(evidence)
    if found.empty:
        return None
    ranking = ranks.rank(found)
    each = ranks.by_problem(found)
    over = {"blocks": posteriors(found, BASELINE), "problems": posteriors(each, BASELINE)} if len(each) > 2 else {}
    sheets = [Sheet("ranks-methods", "Mean ranks, and what holds them apart", _methods(ranking, each))]
    if over:
        sheets.append(Sheet("ranks-equivalence", "Practically equal to the sum, or not", _equivalence(over)))
    sheets.append(Sheet("ranks-blocks", "What was ranked: mean rank of the blocks of each problem", _blocks(found)))
    drawing = Drawing("ranks-critical-difference", _figure(ranking), _caption(ranking, found))
    text = _found(ranking, each, over)
    return Section(CLAIM, _ran(evidence, found), text, [drawing], sheets, f"{'. '.join(text.split('. ')[:2])}.")


def _figure(ranking: Ranking) -> Figure:
    from scikit_posthocs import critical_difference_diagram  # see ranks.rank

    names = {method: label(str(method)) for method in ranking.ranks.index}
    with look():
        figure = canvas(7.6, 1.4 + 0.22 * len(names))
        axes = figure.subplots()
        drawn = critical_difference_diagram(
            ranking.ranks.rename(names), ranking.apart.rename(index=names, columns=names), ax=axes, alpha=ranks.LEVEL,
            color_palette={text: colour(str(m)) for m, text in names.items()}, text_h_margin=0.05,
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


def _caption(ranking: Ranking, found: pd.DataFrame) -> str:
    span = len(ranking.ranks) - 1
    text = (
        f"Mean ranks over {_count(found)}, 1 is best; a bar joins methods that Nemenyi's test at 5 % does not tell "
        f"apart (critical difference {ranking.critical:.2f} of a span of {span} ranks)."
    )
    if ranking.critical > span * WIDE:
        text += " That is a large part of the span: too few blocks for so many methods to be told apart."
    return text


def _count(found: pd.DataFrame) -> str:
    places = list(dict.fromkeys(str(p) for p in found.index.get_level_values(0)))
    sets = len({ranks.data_set(p) for p in places})
    return f"{len(found)} blocks (one task of one problem each) of {len(places)} problems on {sets} data sets"


def _ran(evidence: Evidence, found: pd.DataFrame) -> str:
    places = found.index.get_level_values(0)
    runs = [group[0] for group in evidence.groups.values() if group[0].problem in set(places)]
    seeds = [len(evidence.groups[f"{place}-{BASELINE}"]) for place in dict.fromkeys(places)]
    many = f"{min(seeds)} to {max(seeds)}" if min(seeds) < max(seeds) else f"{seeds[0]}"
    most = places.value_counts()
    return (
        f"The largest set of controlled lines that the same problems ran, chosen before looking at any result: "
        f"{_list(list(found.columns))} on {_count(found)}: "
        f"{'; '.join(title(str(p)) for p in dict.fromkeys(places))}. Scale "
        f"{', '.join(sorted({r.scale for r in runs}))}, track controlled, test metrics under each problem's selection "
        f"rule, means of {many} seeds; no method was tuned, all train at the learning rate of their problem. "
        f"{most.max()} of the blocks are tasks of {title(str(most.index[0]))} and depend on each other, so that the p "
        "values are too small; ranks with one vote a problem stand beside them."
    )  # fmt: skip


def _found(ranking: Ranking, each: pd.DataFrame, over: Mapping[str, Mapping[str, Posterior]]) -> str:
    worse: dict[str, list[str]] = {}
    for better, method in ranking.pairs():
        worse.setdefault(method, []).append(better)
    told = "; ".join(f"{label(method)} behind {_list(better)}" for method, better in worse.items())
    parts = [
        f"Friedman's test over {ranking.blocks} blocks that all methods are alike: p {_p(ranking.friedman)}",
        f"further apart than the critical difference: {told}" if told else "no two methods are told apart",
    ]
    apart = [m for m, p in ranking.against.items() if p < ranks.LEVEL]
    sides = {
        "better": [m for m in apart if ranking.ranks[m] < ranking.ranks[BASELINE]],
        "worse": [m for m in apart if ranking.ranks[m] >= ranking.ranks[BASELINE]],
        "no difference detected": [m for m in ranking.against if m not in apart],
    }
    said = "; ".join(f"{word}: {_list(methods)}" for word, methods in sides.items() if methods)
    parts.append(f"Against the sum (Wilcoxon, Holm over {len(ranking.against)}): {said}")
    parts.append(
        f"best mean rank: {label(str(ranking.ranks.index[0]))}; with one vote a problem (n = {len(each)}): "
        f"{label(str(ranks.mean_ranks(each).index[0]))}"
    )
    for name, found in over.items():
        named = "; ".join(f"{word}: {_list(methods)}" for word, methods in words(found).items())
        many = next(iter(found.values())).n
        parts.append(
            f"Bayesian signed-rank test over {name} (n = {many}, words need a probability above {SURE}): {named}"
        )
    return ". ".join(capital(part) for part in parts) + "."


def _list(methods: Sequence[str]) -> str:
    names = [label(str(m)) for m in methods]
    return ", ".join(f"({name})" if "," in name else name for name in names)


def _methods(ranking: Ranking, each: pd.DataFrame) -> pd.DataFrame:
    votes = ranks.mean_ranks(each)
    rows = []
    for method in map(str, ranking.ranks.index):
        alike = [
            str(m) for m in ranking.ranks.index
            if m != method and abs(ranking.ranks[m] - ranking.ranks[method]) <= ranking.critical
        ]  # fmt: skip
        rows.append({
            "method": label(method), "mean rank": f"{ranking.ranks[method]:.2f}", "n (blocks)": ranking.blocks,
            "within the critical difference of": _list(alike) or "none",
            "against the sum, p (Wilcoxon, Holm)": _p(ranking.against.get(method)),
            "mean rank, one vote a problem": f"{votes[method]:.2f}", "n (problems)": len(each),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _equivalence(over: Mapping[str, Mapping[str, Posterior]]) -> pd.DataFrame:
    rows = [
        {
            "method": label(method), "n": f"{found.n} {name}", "sum better": f"{found.worse:.3f}",
            "practically equal": f"{found.equal:.3f}", "method better": f"{found.better:.3f}", "word": found.word,
            "practically equal means": f"within {REGION}",
        }
        for name, group in over.items() for method, found in group.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _blocks(found: pd.DataFrame) -> pd.DataFrame:
    ranked = found.rank(axis=1, ascending=False).groupby(level=0).agg(["mean", "count"])
    rows = []
    for problem, row in ranked.iterrows():
        shown = {label(str(m)): f"{row[m, 'mean']:.2f}" for m in found.columns}
        rows.append({"problem": title(str(problem)), "data set": ranks.data_set(str(problem)).replace("_", " "),
                     "blocks": int(row[found.columns[0], "count"]), **shown})  # fmt: skip
    return pd.DataFrame(rows)


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
