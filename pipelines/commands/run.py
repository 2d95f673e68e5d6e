"""Trains methods on one problem, in a folder of your own: no file that Git knows is touched.

    gradsurgery run pcgrad --problem multi_mnist --scale smoke --seeds 0,1 --out scratch
    gradsurgery run pcgrad my_mod:fn --problem multi_mnist --scale smoke --set lr=3e-4 --set epochs=2
    gradsurgery run cagrad --problem multi_mnist --set aggregator.c=0.2
    gradsurgery run recon --problem multi_fashion_mnist_resnet --scale smoke

METHOD is a line of the problem's table (pcgrad, cagrad-c0_5), a family (recon: all its lines under study), a method of
`gradsurgery list` with its defaults, or module:name. Data are fetched and prepared if they are not there. What was
interrupted goes on with the same command; what the checkout holds of the same code and settings is not trained again.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradsurgery.cli import _checkout
from gradsurgery.evidence import diverged
from gradsurgery.evidence.compared import level
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.measures import measure, worded
from gradsurgery.evidence.scores import rule_of
from gradsurgery.report.titles import title
from pipelines._yaml import read_yaml
from pipelines.commands._names import Table, described
from pipelines.commands._sitting import Sitting, cores, folder
from pipelines.commands._text import table


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("methods", nargs="+", metavar="METHOD", help="what to train")
    common(parser)


def common(parser: argparse.ArgumentParser) -> None:
    """The options that `run` and `compare` share."""
    parser.add_argument("--problem", required=True, help="a problem of params.yaml, such as multi_mnist")
    parser.add_argument(
        "--scale", help="smoke (seconds), laptop (minutes), overnight or paper (default: params.yaml's)"
    )
    parser.add_argument("--seeds", help="how many, or which: 5, or 0,1 (default: the problem's at this scale)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the problem, for every line alike, or a field of the methods: lr=3e-4, aggregator.c=0.2",
    )
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:1 (GRADSURGERY_DEVICE; default: params.yaml's)")
    parser.add_argument("--jobs", default=cores(), help="runs at once (GRADSURGERY_JOBS; default: one per core)")
    parser.add_argument("--out", help="folder for all that is written (default: workspaces/cli of the checkout)")


def main(arguments: argparse.Namespace) -> int:
    root = _checkout.find()
    assert root is not None
    own = Table(root, arguments.problem, arguments.scale, arguments.set, arguments.seeds)
    names = [line for lines in own.lines(arguments.methods).values() for line in lines]
    params, out = own.only(names), folder(arguments.out, root, f"{arguments.problem}-{own.scale}")
    sitting = Sitting(root, out, params, arguments.device, arguments.jobs)
    print(f"{len(names)} of {arguments.problem} at scale {own.scale}, in {out}", flush=True)
    sitting.bring()
    groups = sitting.histories(names)
    rule = rule_of(groups, {arguments.problem: params.problems[arguments.problem].selection})
    titles = {name: described(params.experiments[name]) for name in names}
    print(f"\n{levels(groups, rule, titles)}\nhistories:")
    for path in sitting.place(names):
        print(f"  {shown(path)}")
    return 0


def problems() -> dict[str, str]:
    """The problems of params.yaml, each with its title."""
    root = _checkout.find()
    assert root is not None
    return {name: title(name) for name in read_yaml(root / "params.yaml")["problems"]}


def levels(groups: Mapping[str, Sequence[Run]], rule: str, titles: Mapping[str, str]) -> str:
    """Every test metric of every line, at the epoch that the rule picks, mean over seeds with its 95 % interval."""
    whole, gone = diverged.split(groups)
    metrics = next(iter(groups.values()))[0].metrics
    rows = [["method", "seeds", *map(worded, metrics)]]
    for name, runs in whole.items():
        line = Line(runs, rule)
        found = [measure(m).say(level(line, m)) if line.answers(m) else "-" for m in metrics]
        rows.append([titles[name], str(len(runs)), *found])
    rows += [[titles[name], str(len(runs)), diverged.told(runs)] for name, runs in gone.items()]
    return f"{table(rows)}\ntest set, epoch by {rule}; mean over seeds [95 % interval]"


def shown(path: Path) -> str:
    """A path as one may type it from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
