"""What the runs took: per problem and per experiment."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gradsurgery.evidence.groups import Groups
from gradsurgery.report import time_to_target
from gradsurgery.report.output import Output
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import label
from gradsurgery.report.tables import Linked
from gradsurgery.report.titles import title

Costs = Mapping[str, Mapping[str, Any]]


def totals(sources: Sources) -> dict[str, Any]:
    """What was run, in numbers."""
    groups = sources.groups
    return {
        "scales": sorted({group[0].scale for group in groups.values()}),
        "data": len(sources.data), "landscapes": len(sources.landscapes), "experiments": len(groups),
        "runs": sum(len(group) for group in groups.values()), "minutes": sum(_seconds(sources.costs).values()) / 60,
        "skipped": sum(run.skipped_steps for group in groups.values() for run in group),
        "published": sum(len(paper.records) for paper in sources.papers),
        "trials": sum(len(trials) for trials in sources.studies.values()),
        "beside": [
            (scale, sum(len(cost["seeds"]) for cost in other.costs.values()), sum(_seconds(other.costs).values()) / 60)
            for scale, other in sources.others.items()
        ],
    }  # fmt: skip


def costs(sources: Sources, out: Output) -> dict[str, Any]:
    """The page of costs: totals, per problem, per experiment, and the machines behind the clock's numbers."""
    seconds = {name: spent for name, spent in _seconds(sources.costs).items() if name in sources.groups}
    return {
        "run": totals(sources),
        "problems": out.table("costs-by-problem", _by_problem(sources.groups, sources.costs, seconds)),
        "target": time_to_target.part(sources, out),
        "table": out.table("costs", _by_experiment(sources.groups, sources.costs, seconds)),
        "environment": _environment(sources.costs),
    }


def _seconds(costs: Costs) -> dict[str, float]:
    return {name: sum(seed["seconds"] for seed in cost["seeds"].values()) for name, cost in costs.items()}


def _by_problem(groups: Groups, costs: Costs, seconds: Mapping[str, float]) -> pd.DataFrame:
    rows = []
    for problem in sorted({groups[name][0].problem for name in seconds}):
        own = [name for name in seconds if groups[name][0].problem == problem]
        most = max(own, key=lambda name: seconds[name])
        rows.append({
            "problem": title(problem), "experiments": len(own), "runs": sum(len(groups[name]) for name in own),
            "seconds, all runs": f"{sum(seconds[name] for name in own):.1f}",
            "longest experiment": Linked(label(groups[most][0].method), f"costs/{most}.json"),
            "its seconds": f"{seconds[most]:.1f}",
            "peak memory (MB)": f"{max(s['peak_memory_mb'] for n in own for s in costs[n]['seeds'].values()):.0f}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _by_experiment(groups: Groups, costs: Costs, seconds: Mapping[str, float]) -> pd.DataFrame:
    rows = []
    for name in sorted(seconds):
        seeds, run = list(costs[name]["seeds"].values()), groups[name][0]
        rows.append({
            "problem": title(run.problem), "method": Linked(label(run.method), f"costs/{name}.json"),
            "seeds": len(seeds), "seconds, all seeds": f"{seconds[name]:.1f}",
            "seconds per seed": f"{seconds[name] / len(seeds):.1f}",
            "step (ms)": f"{_step(costs[name]):.3f}",
            "backward passes per step": f"{seeds[0]['backward_passes_per_step']:g}",
            "peak memory (MB)": f"{max(s['peak_memory_mb'] for s in seeds):.0f}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _step(cost: Mapping[str, Any]) -> float:
    """Milliseconds of a training step, median of the seeds."""
    return float(np.median([seed["step_ms"] for seed in cost["seeds"].values()]))


def _environment(costs: Costs) -> pd.DataFrame:
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    for cost in costs.values():
        key = tuple(sorted((k, str(v)) for k, v in cost["environment"].items()))
        seen[key] = seen.get(key, 0) + 1
    return pd.DataFrame([{**dict(key), "experiments": count} for key, count in sorted(seen.items())])
