"""Holds the first method against the others on one problem, paired by seed: a table with intervals, and one page.

    gradsurgery compare my_mod:fn pcgrad cagrad --problem multi_mnist --scale smoke --seeds 2
    gradsurgery compare my_mod:MyMethod --problem multi_mnist --scale laptop
    gradsurgery compare torchjd.aggregation:UPGrad sum mgda --problem census --seeds 0,1,2

my_mod:fn is a function from the task gradients J (K, P) to a direction (P,), an aggregator of torchjd, or a method of
ours: a class that needs no arguments, or an object. It trains in the loop that all methods train in. Where the checkout
holds runs of the others with the same code and settings, those are taken; the rest is trained. Without others it is
held against the sum and all that is under study on the problem, there or overnight. Nothing under reports/ is touched.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.cli import _checkout
from gradsurgery.core.declaration import problem_of
from gradsurgery.evidence.compared import Compared, compare
from gradsurgery.evidence.scores import rule_of
from gradsurgery.foreign import load
from gradsurgery.ledger.judging import NONE
from gradsurgery.rehearsal import try_out
from pipelines._files import write
from pipelines._protocol import registered
from pipelines.commands._names import Table, described
from pipelines.commands._sitting import Sitting, folder
from pipelines.commands._text import table
from pipelines.commands.run import common, shown


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mine", metavar="METHOD", help="the method that is judged, such as my_mod:fn")
    parser.add_argument("others", nargs="*", metavar="OTHER", help="what it is held against")
    common(parser)


def main(arguments: argparse.Namespace) -> int:
    root = _checkout.find()
    assert root is not None
    own = Table(root, arguments.problem, arguments.scale, arguments.set, arguments.seeds)
    resolved = own.lines([arguments.mine, *(arguments.others or own.usual())])
    mine, *more = resolved[arguments.mine]
    if more:
        raise ValueError(
            f"`METHOD` must be one line, found {arguments.mine!r} for {len(more) + 1}: {mine}, {', '.join(more)}."
        )
    others = [name for lines in resolved.values() for name in lines if name != mine]
    if not others:
        raise ValueError(f"`OTHER` must name another line than {arguments.mine!r}, found none.")
    names = [*dict.fromkeys([mine, *others])]
    params = own.only(names)
    for name in names:
        if target := params.experiments[name].declaration["aggregator"].get("target"):
            try_out(load(target), target, len(problem_of(params.experiments[name].declaration).tasks))
    out = folder(arguments.out, root, f"{arguments.problem}-{own.scale}")
    sitting = Sitting(root, out, params, arguments.device, arguments.jobs)
    taken = sitting.bring()
    groups = sitting.histories(names)
    rule = rule_of(groups, {arguments.problem: params.problems[arguments.problem].selection})
    methods = {name: params.experiments[name].method for name in names}
    margin = (registered(root) or NONE).margin
    found = compare(groups, methods[mine], [methods[name] for name in names if name != mine], rule, margin)
    titles = {methods[name]: described(params.experiments[name]) for name in names}
    beside = {methods[n]: _beside(groups[n], sitting.costs([n])[n], taken.get(n, set())) for n in names}
    page = out / f"compare-{methods[mine]}.html"
    _say(found, titles, beside, rule, own.scale)
    command = shlex.join(["gradsurgery", *sys.argv[1:]])
    write({page: _page(found, groups, titles, beside, rule, command)})
    print(f"\npage: {shown(page)}")
    return 0


def _beside(runs: Sequence[Any], costs: Mapping[int, Mapping[str, Any]], taken: set[int]) -> dict[str, str]:
    """What a table says of a line besides its metrics; a time stands only for runs of this machine."""
    seeds = [run.seed for run in runs]
    here = [costs[seed]["step_ms"] for seed in seeds if seed not in taken]
    return {
        "seeds": ", ".join(map(str, seeds)), "skipped steps": str(sum(run.skipped_steps for run in runs)),
        "ms a step": f"{sorted(here)[len(here) // 2]:.1f}" if here else "-",
        "runs": "committed" if not here else "trained here" if len(here) == len(seeds) else "some committed",
    }  # fmt: skip


def _say(
    found: Compared, titles: Mapping[str, str], beside: Mapping[str, Mapping[str, str]], rule: str, scale: str
) -> None:
    from gradsurgery.report.compared import differences, levels  # pandas and matplotlib: seconds, which training hides

    own = titles[found.mine]
    print(f"\n{own} on {found.problem} at scale {scale}: test set, epoch by {rule}, mean over seeds [95 % interval]\n")
    for rows in (levels(found, titles, found.main, beside), differences(found, titles, found.main)):
        if rows:
            print(table([[*rows[0]], *([*row.values()] for row in rows)]))
            print()
    if not found.contrasts:
        print("no difference can be taken: no seed is shared, or a line diverged")
    elif any(contrast.difference.low is None for contrast in found.contrasts):
        print("one seed has no interval: ask for more with --seeds 3")
    else:
        print("exploratory: intervals and words are not corrected for the number of comparisons")


def _page(*of_page: Any) -> bytes:
    from gradsurgery.report.compared import page

    return page(*of_page)
