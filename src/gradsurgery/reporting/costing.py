"""What the runs took: per problem, per experiment, and per training step."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gradsurgery.evidence.groups import Groups, of
from gradsurgery.evidence.statistics import significant
from gradsurgery.report import figures
from gradsurgery.report.tables import Linked
from gradsurgery.report.titles import title
from gradsurgery.reporting.output import Output
from gradsurgery.reporting.style import family, label

Costs = Mapping[str, Mapping[str, Any]]


def costs(groups: Groups, costs: Costs, problems: Sequence[str], out: Output) -> dict[str, Any]:
    """The whole section. Time per step is drawn for problems with data; a landscape's step is a few operations."""
    seconds = {name: sum(s["seconds"] for s in c["seeds"].values()) for name, c in costs.items() if name in groups}
    total = sum(seconds.values())
    sentence = (
        f"All runs together took {total / 60:.1f} minutes of process time on the machine named below; seeds ran side "
        "by side, so that the wall clock showed less, and a step's time is noisier than on a quiet machine."
    )
    return {
        "sentence": sentence,
        "problems": out.table("costs-by-problem", _by_problem(groups, costs, seconds)),
        "figures": _steps(groups, costs, problems, out),
        "table": out.table("costs", _by_experiment(groups, costs, seconds)),
    }


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
            "step (ms)": f"{np.median([s['step_ms'] for s in seeds]):.3f}",
            "backward passes per step": f"{seeds[0]['backward_passes_per_step']:g}",
            "peak memory (MB)": f"{max(s['peak_memory_mb'] for s in seeds):.0f}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _steps(groups: Groups, costs: Costs, problems: Sequence[str], out: Output) -> list[dict[str, Any]]:
    drawn = []
    for problem in problems:
        timed = {
            m: g[0].experiment
            for m, g in of(groups, problem).items()
            if g[0].experiment in costs and family(m) != "floor"
        }
        if timed:
            step = {m: [s["step_ms"] for s in costs[e]["seeds"].values()] for m, e in timed.items()}
            caption = f"{title(problem)}: time per training step; dots are seeds."
            drawn.append(out.figure(f"{problem}-step-time", figures.step_time(step), caption))
            medians = [{"method": m, "step_ms": significant(float(np.median(v)))} for m, v in step.items()]
            out.plot(f"{problem}-step-time", pd.DataFrame(medians))
    return drawn


def environment(costs: Costs) -> pd.DataFrame:
    """The machines behind the clock's numbers."""
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    for cost in costs.values():
        key = tuple(sorted((k, str(v)) for k, v in cost["environment"].items()))
        seen[key] = seen.get(key, 0) + 1
    return pd.DataFrame([{**dict(key), "experiments": count} for key, count in sorted(seen.items())])
