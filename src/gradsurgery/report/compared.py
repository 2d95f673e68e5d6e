"""The page of `gradsurgery compare`: one file that needs no other."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from gradsurgery.evidence.compared import Compared
from gradsurgery.evidence.groups import Groups, of
from gradsurgery.evidence.measures import measure, worded
from gradsurgery.report import figures
from gradsurgery.report.page import render, static
from gradsurgery.report.style import svg
from gradsurgery.report.titles import setting, title

Rows = Sequence[Mapping[str, str]]


def levels(
    found: Compared, names: Mapping[str, str], metrics: Sequence[str], beside: Mapping[str, Mapping[str, str]]
) -> Rows:
    """A row a line: its name, metrics with their intervals, and what is known besides of it.

    Args:
        found: the numbers.
        names: of methods, as they are shown.
        metrics: those that are columns.
        beside: further cells, by method.
    """
    rows = []
    for method in (found.mine, *found.others):
        own = found.levels.get(method, {})
        cells = {worded(m): measure(m).say(own.get(m)) for m in metrics}
        if method in found.gone:  # no number of it is one
            cells |= {worded(metrics[0]): found.gone[method]}
        rows.append({"method": names[method], **cells, **beside[method]})
    return rows


def differences(found: Compared, names: Mapping[str, str], metrics: Sequence[str]) -> Rows:
    """A row a contrast: what is subtracted, on which metric, the difference with its interval, its word, and the least
    effect that four of five such comparisons would find."""
    rows = []
    for other in found.others:
        for metric in metrics:
            if (contrast := found.against(other, metric)) is not None:
                how = measure(metric)
                rows.append({
                    "minus": names[other], "metric": f"{worded(metric).partition(' (')[0]}{how.of_step}",
                    "difference": how.say(contrast.difference, signed=True), "verdict": contrast.verdict,
                    "least effect found 4 times of 5": how.plain(contrast.detectable),
                })  # fmt: skip
    return rows


def page(
    found: Compared, groups: Groups, names: Mapping[str, str], beside: Mapping[str, Mapping[str, str]], rule: str,
    command: str,
) -> bytes:  # fmt: skip
    """The whole page; `groups` are the runs behind the numbers, `command` what was typed."""
    runs = of(groups, found.problem)
    drawn = {method: own for method, own in runs.items() if method in found.levels}
    longest = max((len(own[0].epochs) for own in drawn.values()), default=0)
    single = [metric for metric in found.metrics if metric not in found.main]
    context: dict[str, Any] = {
        "title": f"{names[found.mine]} on {title(found.problem)}", "setting": setting(runs), "rule": rule,
        "levels": pd.DataFrame(levels(found, names, [*found.metrics], beside)),
        "differences": pd.DataFrame(differences(found, names, found.main)),
        "single": pd.DataFrame(differences(found, names, single)),
        "curves": Markup(svg(figures.learning_curves(drawn)).decode()) if longest > 1 else None,
        "command": command, "css": Markup(static("site.css").decode()), "script": Markup(static("site.js").decode()),
        "mine": names[found.mine], "root": "", "site": {"places": {}},
    }  # fmt: skip
    return render("compared.html", context).encode()
