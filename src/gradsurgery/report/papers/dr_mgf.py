"""DR-MGF (Sun and others, 2023): disentangled training of each exit, then fusion weighted by learned importance."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import PLAIN, measure
from gradsurgery.evidence.roles import COPIES
from gradsurgery.evidence.statistics import summarise
from gradsurgery.report.exits import by_exit_and_pass, named, passes
from gradsurgery.report.section import Drawing, Evidence, Section, Sheet, declared
from gradsurgery.report.tables import measured, source

_NETWORKS = {"cifar100_exits": "SDN-ResNet", "cifar100_exits_msdnet": "MSDNet"}
_OWN, _MEAN = "dr_mgf", "all.accuracy"
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
            f"{stem}-exits", by_exit_and_pass(_shown(groups), evidence.metrics, _OWN),
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
        claim=declared(evidence, "dr_mgf").claim,
        ran=" ".join(f"{_NETWORKS[p]}: {_setting(groups[_OWN])}" for p, groups in problems.items()),
        found=" ".join(_sentence(_NETWORKS[p], groups, evidence) for p, groups in problems.items()),
        drawings=drawings,
        sheets=sheets,
    )


def _of(evidence: Evidence, problem: str) -> dict[str, Sequence[Run]]:
    found = {runs[0].method: runs for _, runs in sorted(evidence.groups.items()) if runs[0].problem == problem}
    order = [m for m in _SHOWN if m in found]
    others = [m for m, runs in found.items() if m not in order and runs[0].role.kind not in COPIES]
    return {m: found[m] for m in (*order, *others)}


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


def _levels(groups: Groups, evidence: Evidence) -> pd.DataFrame:
    rows = []
    for runs in groups.values():
        record = evidence.metrics[runs[0].experiment]
        costs = evidence.costs.get(runs[0].experiment, {}).get("seeds", {})
        seconds = [entry["seconds"] for entry in costs.values()]
        rows.append({
            "method": source(runs[0].experiment, named(runs[0])), "epochs": len(runs[0].epochs),
            "passes over the data": passes(runs[0]) * len(runs[0].epochs),
            **{f"{metric.split('.')[0]} (%)": measured(record[metric], metric) for metric in runs[0].metrics},
            "mean of exits (%)": measured(record[_MEAN], _MEAN),
            "seconds per seed": f"{float(np.median(seconds)):.0f}" if seconds else "-", "n": len(runs),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _gaps(groups: Groups, evidence: Evidence) -> pd.DataFrame:
    rows, own = [], groups[_OWN]
    for c in _against(groups, evidence):
        each = [evidence.contrasts.get("dr_mgf", c.problem, _OWN, c.minus, m) for m in own[0].metrics]
        rows.append({
            "DR-MGF minus": source(groups[c.minus][0].experiment, named(groups[c.minus][0])),
            "on": c.budget,
            **{f"{one.metric.split('.')[0]} (points)": _said(one) for one in each if one},
            "mean of exits (points)": _said(c), "verdict": c.verdict, "n": c.difference.n,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _against(groups: Groups, evidence: Evidence) -> list[Contrast]:
    """DR-MGF minus the others, mean of the exits, where they have a seed in common with it."""
    found = {c.minus: c for c in evidence.contrasts.of("dr_mgf", groups[_OWN][0].problem, _MEAN)}
    return [found[m] for m in groups if m in found]


def _said(found: Contrast) -> str:
    return measure(_MEAN).say(found.difference, signed=True)


def _importance(groups: Groups) -> pd.DataFrame | None:
    rows = []
    for runs in groups.values():
        logged = [run.diagnostics for run in runs if run.diagnostics and "method.entropy" in run.diagnostics[-1]]
        if not logged:
            continue
        row: dict[str, object] = {"method": source(runs[0].experiment, named(runs[0]))}
        for name, when in (("after the first epoch", 0), ("at the end", -1)):
            spreads = [rows[when]["method.importance_spread"] for rows in logged]
            row[f"spread of importance {name} (%)"] = PLAIN.say(summarise([100 * spread for spread in spreads]))
        row["entropy of the shares"] = PLAIN.say(summarise([rows[-1]["method.entropy"] for rows in logged]))
        for task in runs[0].tasks:
            shares = [100 * rows[-1][f"method.dominated.{task}"] for rows in logged]
            row[f"units where {task} has more than half (%)"] = PLAIN.say(summarise(shares))
        rows.append(row | {"n": str(len(logged))})
    return pd.DataFrame(rows) if rows else None


def _sentence(network: str, groups: Groups, evidence: Evidence) -> str:
    """Against joint training first, then DR-MGF minus each of the others that the paper names."""
    own = groups[_OWN]
    plain, details, seeds = [], [], set[int]()
    for c in _against(_shown(groups), evidence):
        runs = groups[c.minus]
        if "sum" in (c.minus, runs[0].role.base):
            word = declared(evidence, "dr_mgf").reading({"sum": [c.verdict]})
            plain.append(f"{word} it at {c.budget}")
        seeds.add(c.difference.n)
        name = named(runs[0], whole=True)
        details.append(f"minus {name} at {c.budget} {_said(c)} ({c.verdict})")
    if not details:
        return f"{network}: DR-MGF ran alone, so that nothing can be compared with it."
    if len(own) == 1:
        return f"{network}: n = 1 has no interval, so that nothing is claimed; the table holds the bare differences."
    lead = f"Beside joint training, DR-MGF is {' and '.join(plain)}. " if plain else ""
    n = " to ".join(str(count) for count in sorted({min(seeds), max(seeds)}))
    return (
        f"{network}: {lead}Its accuracy, points, mean of the exits: {'; '.join(details)}. Paired over n = {n} "
        f"seeds, scale {own[0].scale}; exploratory."
    )
