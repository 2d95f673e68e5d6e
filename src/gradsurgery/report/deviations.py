"""Where exploratory runs depart from what protocol.md 1.3 asks for: found by reading the histories.

That is at least ten seeds on cheap problems and five on dense ones, its list of baselines,
equal settings for all methods of a problem, twenty trials of settings per method, selection on validation data.
"""

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from gradsurgery.evidence.groups import Groups, Metrics, of
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.scores import DEFAULT_RULE
from gradsurgery.report.style import label
from gradsurgery.report.titles import title

SEEDS = 10  # asked for on cheap problems, which all problems at laptop scale are

# Baselines of the protocol: how it calls them, and the part that makes a baseline one.
BASELINES = {
    "single-task runs": ("balancer", "single_task"), "mean": ("aggregator", "mean"),
    "static weights": ("balancer", "static"), "random weights": ("balancer", "random_weights"),
    "uncertainty": ("balancer", "uncertainty"), "DWA": ("balancer", "dwa"), "log loss": ("balancer", "log_loss"),
    "MGDA": ("aggregator", "mgda"), "UPGrad or Nash-MTL": ("aggregator", "torchjd"),
}  # fmt: skip


def deviations(groups: Groups, metrics: Metrics, problems: Sequence[str]) -> pd.DataFrame:
    """One row per problem and departure."""
    rows = []
    for problem in problems:
        runs = of(groups, problem)
        for what, done in [
            (f"{SEEDS} seeds", _seeds(runs)), ("every baseline", _missing(runs)),
            ("one setting for all methods", _settings(runs)),
            ("selection on validation data", _rules(metrics, problem)),
        ]:  # fmt: skip
            if done:
                rows.append({"problem": title(problem), "asked for": what, "done instead": done})
    return pd.DataFrame(rows, columns=["problem", "asked for", "done instead"])


def _seeds(runs: Mapping[str, Sequence[Run]]) -> str:
    counts = {method: len(group) for method, group in runs.items()}
    fewest, most = min(counts.values()), max(counts.values())
    if fewest >= SEEDS:
        return ""
    if fewest == most:
        return f"{most} seeds" if most > 1 else "1 seed"
    fewer = ", ".join(label(m) for m, n in counts.items() if n < most)
    return f"{most} seeds; fewer for {fewer}"


def _missing(runs: Mapping[str, Sequence[Run]]) -> str:
    lines = [group[0] for group in runs.values()]
    plain = [run for run in lines if run.role.kind == "baseline" and run.method != "sum"]
    there = {
        name: any(run.declaration.get(slot, {}).get("name") == part for run in plain)
        for name, (slot, part) in BASELINES.items()
    }
    there["sum + regularisation"] = False  # no line of params.yaml is one
    there["sum at equal compute"] = any(run.role.base == "sum" for run in lines)
    there["placebos"] = any(run.role.kind == "placebo" for run in lines)
    absent = [name for name, found in there.items() if not found]
    return f"without {', '.join(absent)}" if absent else ""


def _settings(runs: Mapping[str, Sequence[Run]]) -> str:
    """Methods of the controlled track whose settings are not those of most, the network aside."""
    said: dict[str, list[str]] = {}
    for method, group in runs.items():
        settings = {k: v for k, v in group[0].declaration.get("settings", {}).items() if k != "network"}
        said.setdefault(json.dumps(settings, sort_keys=True), []).append(method)
    usual = max(said.values(), key=len)
    rules = {_rule(runs[m]) for m in usual}
    parts = []
    for text, methods in said.items():
        if methods is not usual:
            changed = _changed(json.loads(text), runs[usual[0]][0].declaration.get("settings", {}))
            names = ", ".join(label(m) for m in methods)
            own = "" if rules & {_rule(runs[m]) for m in methods} else " (its own setting)"
            parts.append(f"{names}: {changed}{own}")
    return "; ".join(parts)


def _rule(group: Sequence[Run]) -> str:
    return str(group[0].declaration.get("rule", {}).get("name"))


def _changed(mine: Mapping[str, object], usual: Mapping[str, object]) -> str:
    keys = sorted(k for k in set(mine) | set(usual) if k != "network" and mine.get(k) != usual.get(k))
    return ", ".join(f"{k.replace('_', ' ')} {mine.get(k)} for {usual.get(k)}" for k in keys)


def _rules(metrics: Metrics, problem: str) -> str:
    rules = {r["selection"] for r in metrics.values() if r["problem"] == problem} - {DEFAULT_RULE}
    return ", ".join(sorted(rules))
