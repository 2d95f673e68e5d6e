"""What `train --dry` and `--plan` say: which runs are not there and why, and what is trained in what order."""

import argparse
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradsurgery.ledger.protocol import Protocol
from pipelines._params import Experiment, Params, load_or_exit
from pipelines._plan import Plan, chosen
from pipelines._problems import LONG
from pipelines._records import Records
from pipelines._schedule import Schedule, check


def told(count: int) -> str:
    """So many lines, in words."""
    return f"{count} line{'' if count == 1 else 's'}"


def tell_stale(plan: Plan, experiments: Sequence[Experiment], scale: str) -> None:
    """Names each run that is not there, with its reason; at a scale of hours those that are there and out of date."""
    count, stale = 0, set()
    for experiment in sorted(experiments, key=lambda line: "evidence" in line.declaration):
        if not plan.begun(experiment) and scale in LONG:
            continue
        if (source := experiment.declaration.get("evidence")) in stale:
            runs = {f"{experiment.name} seed {seed}": f"evidence {source} is stale" for seed in experiment.seeds}
        else:
            line = plan.line(experiment)
            runs = {r.name: why for r, why in line.stale.items() if scale not in LONG or r.seed in line.found}
        stale |= {experiment.name} if runs else set()
        count += len(runs)
        for name, why in runs.items():
            print(f"{name}: {why}")
    print(f"{count} of {sum(len(line.seeds) for line in experiments)} runs are stale at scale {scale}")


def tell_plan(schedule: Schedule, plan: Plan, experiments: Sequence[Experiment], scale: str, places: int) -> None:
    """A row for each line in the order of running: its runs, how many are there, seconds of one and of what is left."""
    spent = {line.name: schedule.seconds(line, line.seeds[0]) for line in experiments}
    each, guessed = _guessed(experiments, spent)
    totals = {True: [0.0] * 4, False: [0.0] * 4}
    print(f"{'line':56} {'runs':>5} {'done':>5} {'s each':>8} {'s left':>9}")
    for wave in schedule.waves(experiments):
        for line in sorted(wave, key=lambda e: schedule.key(e, e.seeds[0], spent[e.name])):
            left, known = len(plan.missing(line)), each.get(line.name, 0.0)
            row: list[float] = [len(line.seeds), len(line.seeds) - left, known * len(line.seeds), known * left]
            kind = schedule.registered(line)
            totals[kind] = [sum(pair) for pair in zip(totals[kind], row, strict=True)]
            said = f"{'~' if line.name in guessed else ''}{known:.0f}" if line.name in each else "?"
            print(f"{line.name:56} {row[0]:5.0f} {row[1]:5.0f} {said:>8} {row[3]:9.0f}")
    for kind, name in ((True, "confirmatory"), (False, "exploratory")):
        runs, done, whole, rest = totals[kind]
        print(
            f"{name}: {runs:.0f} runs, {done:.0f} done; {whole:.0f} s of one core in all, {rest:.0f} s left "
            f"({rest / places / 3600:.1f} h on {places})"
        )
    if guessed:
        print(f"~: {told(len(guessed))} of which nothing was run anywhere, by the median line of the same problem")
    if unknown := [line.name for line in experiments if line.name not in each]:
        print(f"not known how long, as nothing like it was run: {told(len(unknown))}, such as {unknown[0]}")
    print(f"scale {scale}: what was not run there yet is reckoned from another scale, by epochs times examples")


def _guessed(experiments: Sequence[Experiment], spent: Mapping[str, float]) -> tuple[dict[str, float], set[str]]:
    """Seconds of a run, by line, and the lines for which only others of their problem can tell."""
    each = {name: seconds for name, seconds in spent.items() if math.isfinite(seconds)}
    known: dict[str, list[float]] = {}
    for line in experiments:
        if line.name in each:
            known.setdefault(line.problem, []).append(each[line.name])
    guessed = {line.name for line in experiments if line.name not in each and line.problem in known}
    by_name = {line.name: line.problem for line in experiments}
    return each | {name: statistics.median(known[by_name[name]]) for name in guessed}, guessed


def look(arguments: argparse.Namespace, params: Params, protocol: Protocol | None, places: Sequence[str]) -> None:
    """What `--dry` and `--plan` say: the former of every scale that Git has runs of, but where one is named."""
    there = {path.name for path in Path("reports/history").glob("*")} - {params.scale}
    others = [scale for scale in LONG if scale in there] if arguments.dry and not arguments.scale else []
    for at in [params, *(load_or_exit(scale=scale) for scale in others)]:
        lines = chosen(arguments.names, at) if at is params else list(at.experiments.values())
        root = Path("workspaces") / at.scale
        root = root if arguments.plan and (root / "reports/history").is_dir() else Path()
        records = Records(root, at.scale)
        plan = Plan(at, records, places[0], protocol)
        if at.scale == "paper" and not arguments.dry:
            from pipelines._paper_plan import tell_paper  # here, as it reads this module

            tell_paper(at, plan, Schedule(at, records, protocol), lines)
        elif arguments.plan:
            tell_plan(Schedule(at, records, protocol), plan, lines, at.scale, len(places))
        else:
            tell_stale(plan, lines, at.scale)
        check(at, protocol)
