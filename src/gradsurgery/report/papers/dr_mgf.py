"""DR-MGF (Sun and others, 2023): disentangled training of each exit, then fusion weighted by learned importance."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gradsurgery.evidence.contract import watching
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.selection import select
from gradsurgery.evidence.statistics import Summary, summarise, test_noise
from gradsurgery.ledger.judging import direction
from gradsurgery.report.exits import by_exit_and_pass, level, named, passes
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet
from gradsurgery.report.tables import source

CLAIM = (
    "Letting every task train the network by itself for an epoch, and fusing what the tasks changed kernel by kernel "
    "with learned importance, gives better accuracy at the exits of one network than joint training, gradient surgery "
    "at every step, or a plain average of the changes (DR-avgF), and costs nothing at inference."
)
_NETWORKS = {"cifar100_exits": "SDN-ResNet", "cifar100_exits_msdnet": "MSDNet"}
_OWN = "dr_mgf"
_WORDS = {"direction only": "ahead of", "not reproduced": "behind", "no difference detected": "not told apart from"}
_SHOWN = (
    "sum", "sum-equal_passes", "pcgrad", "pcgrad-equal_passes", "cagrad-c0_5", "cagrad-c0_5-equal_passes",
    "dr_mgf-average", "dr_mgf",
)  # fmt: skip

Groups = Mapping[str, Sequence[Run]]


def section(evidence: Evidence) -> Section | None:
    """Per-exit accuracy of DR-MGF and of what it is compared with, at equal epochs and at equal passes."""
    problems = {p: groups for p in _NETWORKS if _OWN in (groups := _of(evidence, p))}
    if not problems:
        return None
    drawings, sheets = [], []
    for problem, groups in problems.items():
        network, stem = _NETWORKS[problem], _OWN + problem.removeprefix("cifar100_exits").replace("_", "-")
        setting = _setting(groups[_OWN])
        drawings.append(Drawing(
            f"{stem}-exits", by_exit_and_pass(_shown(groups), _rule(groups[_OWN], evidence), _OWN),
            f"{network}. Left: test accuracy at each exit, with 95 % intervals over seeds. Right: validation accuracy, "
            f"mean of the exits, after so many passes over the training pictures; bands are 95 % intervals. {setting}",
        ))  # fmt: skip
        sheets += [
            Sheet(f"{stem}-exits", f"{network}: test accuracy at each exit. {setting}", _levels(groups, evidence)),
            Sheet(f"{stem}-minus", f"{network}: DR-MGF minus the others, points. {setting}", _gaps(groups, evidence)),
        ]
        if (learned := _importance(groups)) is not None:
            title = f"{network}: what DR-MGF's importance and fusion learned. {setting}"
            sheets.append(Sheet(f"{stem}-importance", title, learned))
    return Section(
        claim=CLAIM,
        ran=" ".join(f"{_NETWORKS[p]}: {_setting(groups[_OWN])}" for p, groups in problems.items()),
        found=" ".join(_sentence(_NETWORKS[p], groups, evidence) for p, groups in problems.items()),
        drawings=drawings,
        sheets=sheets,
    )


def gap(runs: Sequence[Run], others: Sequence[Run], metrics: Sequence[str], rule: str) -> tuple[Summary, float]:
    """`runs` minus `others` in points, mean of some metrics, paired by seed; and what chance can do to it.

    Args:
        runs: of one method.
        others: of another method on the same problem, with at least one seed in common.
        metrics: names `<task>.accuracy`.
        rule: which epoch counts.

    Returns:
        The paired difference, and how far the size of the test set alone can move it (95 %). The exits see the same
        test pictures, so that averaging over exits takes nothing off.
    """
    mine, theirs = ({run.seed: select(run, rule) for run in group} for group in (runs, others))
    seeds = sorted(mine.keys() & theirs.keys())
    differences = [100 * float(np.mean([mine[s][n] - theirs[s][n] for n in metrics])) for s in seeds]
    if (size := runs[0].test_size) is None:
        return summarise(differences), 0.0
    pairs = [(np.mean([mine[s][n] for s in seeds]), np.mean([theirs[s][n] for s in seeds])) for n in metrics]
    noises = [test_noise([(float(a), float(b))], size) for a, b in pairs]
    return summarise(differences), 100 * float(np.mean(noises))


def _of(evidence: Evidence, problem: str) -> dict[str, Sequence[Run]]:
    found = {runs[0].method: runs for _, runs in sorted(evidence.groups.items()) if runs[0].problem == problem}
    order = [m for m in _SHOWN if m in found]
    return {m: found[m] for m in [*order, *(m for m in found if m not in order and not watching(m))]}


def _shown(groups: Groups) -> Groups:
    return {method: runs for method, runs in groups.items() if method in _SHOWN}


def _setting(runs: Sequence[Run]) -> str:
    run, settings = runs[0], runs[0].declaration["settings"]
    size = settings.get("train_size", 0)
    pictures = f"{size:,} training pictures" if size else "all training pictures"
    tested = f"{run.test_size:,} test pictures" if run.test_size else "all test pictures"
    return (
        f"CIFAR-100, {pictures}, {tested}, {len(run.tasks)} exits, {len(run.epochs)} epochs; scale {run.scale}, "
        f"track {run.track}, n = {len(runs)}."
    )


def _rule(runs: Sequence[Run], evidence: Evidence) -> str:
    return str(evidence.metrics[runs[0].experiment]["selection"])


def _say(summary: Summary, signed: bool = False) -> str:
    text = f"{summary.mean:{'+' if signed else ''}.2f}"
    if summary.low is None:
        return f"{text} (n = {summary.n}, no interval)"
    return f"{text} [{summary.low:{'+' if signed else ''}.2f}, {summary.high:{'+' if signed else ''}.2f}]"


def _levels(groups: Groups, evidence: Evidence) -> pd.DataFrame:
    rows = []
    for method, runs in groups.items():
        rule, costs = _rule(runs, evidence), evidence.costs.get(runs[0].experiment, {}).get("seeds", {})
        seconds = [entry["seconds"] for entry in costs.values()]
        rows.append({
            "method": source(runs[0].experiment, named(method)), "epochs": len(runs[0].epochs),
            "passes over the data": passes(runs[0]) * len(runs[0].epochs),
            **{f"{metric.split('.')[0]} (%)": _say(level(runs, metric, rule)) for metric in runs[0].metrics},
            "mean of exits (%)": _say(level(runs, None, rule)),
            "seconds per seed": f"{float(np.median(seconds)):.0f}" if seconds else "-", "n": len(runs),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _gaps(groups: Groups, evidence: Evidence) -> pd.DataFrame:
    rows, own = [], groups[_OWN]
    for method, runs in _others(groups).items():
        metrics, rule = list(own[0].metrics), _rule(own, evidence)
        mean, noise = gap(own, runs, metrics, rule)
        rows.append({
            "DR-MGF minus": source(runs[0].experiment, named(method)), "at equal": _equal(own, runs),
            **{f"{m.split('.')[0]} (points)": _say(gap(own, runs, [m], rule)[0], True) for m in metrics},
            "mean of exits (points)": _say(mean, True), "chance in the test set (points)": f"{noise:.2f}",
            "verdict": direction(mean, "higher", noise), "n": mean.n,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _others(groups: Groups) -> Groups:
    """The other methods, where they have a seed in common with DR-MGF."""
    seeds = {run.seed for run in groups[_OWN]}
    return {m: runs for m, runs in groups.items() if m != _OWN and seeds & {run.seed for run in runs}}


def _equal(own: Sequence[Run], other: Sequence[Run]) -> str:
    epochs = [len(runs[0].epochs) for runs in (own, other)]
    made = [passes(runs[0]) * n for runs, n in zip((own, other), epochs, strict=True)]
    words = [word for word, (a, b) in (("epochs", epochs), ("passes", made)) if a == b]
    return " and ".join(words) or "neither"


def _importance(groups: Groups) -> pd.DataFrame | None:
    rows = []
    for method, runs in groups.items():
        logged = [run.diagnostics for run in runs if run.diagnostics and "method.entropy" in run.diagnostics[-1]]
        if not logged:
            continue
        row: dict[str, object] = {"method": source(runs[0].experiment, named(method))}
        for name, when in (("after the first epoch", 0), ("at the end", -1)):
            spreads = [rows[when]["method.importance_spread"] for rows in logged]
            row[f"spread of importance {name} (%)"] = _say(summarise([100 * spread for spread in spreads]))
        row["entropy of the shares"] = _say(summarise([rows[-1]["method.entropy"] for rows in logged]))
        for task in runs[0].tasks:
            shares = [100 * rows[-1][f"method.dominated.{task}"] for rows in logged]
            row[f"units where {task} has more than half (%)"] = _say(summarise(shares))
        rows.append(row | {"n": str(len(logged))})
    return pd.DataFrame(rows) if rows else None


def _sentence(network: str, groups: Groups, evidence: Evidence) -> str:
    """Against joint training first, then DR-MGF minus each of the others that the paper names."""
    own = groups[_OWN]
    plain, details, seeds = [], [], set[int]()
    for method, runs in _shown(_others(groups)).items():
        summary, noise = gap(own, runs, list(own[0].metrics), _rule(own, evidence))
        verdict, name = direction(summary, "higher", noise), named(method.removesuffix("-equal_passes"))
        if method.startswith("sum"):
            plain.append(f"{_WORDS.get(verdict, 'not compared with')} it at equal {_equal(own, runs)}")
        seeds.add(summary.n)
        details.append(f"minus {name} at equal {_equal(own, runs)} {_say(summary, True)} ({verdict})")
    if not details:
        return f"{network}: DR-MGF ran alone, so that nothing can be compared with it."
    if len(own) == 1:
        return f"{network}: n = 1 has no interval, so that nothing is claimed; the table holds the bare differences."
    lead = f"Beside joint training, DR-MGF is {' and '.join(plain)}. " if plain else ""
    n = " to ".join(str(count) for count in sorted({min(seeds), max(seeds)}))
    return (
        f"{network}: {lead}Its accuracy, points, mean of the exits: {'; '.join(details)}. Paired over n = {n} "
        f"seeds, scale {own[0].scale}, where a verdict can be about direction only."
    )
