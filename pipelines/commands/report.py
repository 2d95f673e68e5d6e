"""The committed numbers of one problem at every scale that was run, every method beside the sum, and where its page is.
Nothing is computed.

    gradsurgery report                          the problems that have a page
    gradsurgery report --problem multi_mnist
    gradsurgery report --problem multi_mnist --open

`make report` makes the pages anew from the committed histories.
"""

import argparse
import webbrowser

from gradsurgery.cli import _checkout
from gradsurgery.evidence.contrasts import Contrasts, parse
from gradsurgery.evidence.measures import measure, worded
from gradsurgery.report.style import label
from gradsurgery.report.tables import Metrics, measured, named
from gradsurgery.report.titles import title
from pipelines._blocks import known
from pipelines._files import read_json
from pipelines.commands._text import table
from pipelines.commands.run import shown

REMEDY = "run `make report`"


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--problem", help="one that was run (default: the list of them)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def main(arguments: argparse.Namespace) -> int:
    root = _checkout.find()
    assert root is not None
    own = {name: read_json(root / "reports" / name, REMEDY) for name in ("metrics.json", "contrasts.json")}
    scales = [own, *read_json(root / "reports/scales.json", REMEDY).values()]
    problems = sorted({entry["problem"] for each in scales for entry in each["metrics.json"].values()})
    page = root / "reports/index.html"
    if arguments.problem is None:
        print(table([["problem", "title"], *([name, title(name)] for name in problems)]))
    else:
        problem = known("--problem", arguments.problem, problems)
        page = root / "reports/problems" / f"{problem}.html"
        said = (_said(problem, each["metrics.json"], parse(each["contrasts.json"])) for each in scales)
        print("\n\n".join(filter(None, said)))
    print(f"\npage: {shown(page)}")
    if arguments.open:
        webbrowser.open(page.as_uri())
    return 0


def _said(problem: str, metrics: Metrics, contrasts: Contrasts) -> str:
    """The table of one scale; empty where the problem was not run there."""
    if not (entries := list(named(problem, metrics).values())):
        return ""
    found = {contrast.method: contrast for contrast in contrasts.of("sum", problem, "all")}
    metric = next(key for entry in entries for key in entry if key.startswith("all."))
    rows = [["method", worded(metric), "minus sum", "verdict", "n"]]
    for entry in entries:
        contrast = found.get(entry["method"])
        minus = measure(contrast.metric).say(contrast.difference, signed=True) if contrast else "-"
        level = measured(entry.get(metric), metric)
        rows.append([label(entry["method"]), level, minus, contrast.verdict if contrast else "-", str(entry["n"])])
    return f"{title(problem)} at scale {entries[0]['scale']}; mean over seeds [95 % interval]\n\n{table(rows)}"
