"""Lines of which a seed diverged: kept apart from those that are judged, and shown as what they are.

A mean over the seeds that happened to survive would flatter such a line, and a null is no number; so no statistic,
test, rank, front or figure holds it. What would have been compared with it is judged without it, and says why.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gradsurgery.reporting.grouping import Groups, title
from gradsurgery.reporting.history import Run
from gradsurgery.reporting.style import label
from gradsurgery.reporting.tables import source


def split(groups: Groups) -> tuple[dict[str, Sequence[Run]], dict[str, Sequence[Run]]]:
    """The lines that did not diverge on any seed, and the others."""
    gone = {name: group for name, group in groups.items() if any(run.diverged is not None for run in group)}
    return {name: group for name, group in groups.items() if name not in gone}, gone


def told(group: Sequence[Run]) -> str:
    """`diverged (seed 1, epoch 3; seed 2, epoch 1)`."""
    parts = "; ".join(f"seed {run.seed}, epoch {run.diverged}" for run in group if run.diverged is not None)
    return f"diverged ({parts})"


def record(group: Sequence[Run], rule: str) -> dict[str, Any]:
    """The entry of metrics.json: no mean of anything."""
    run = group[0]
    return {
        "problem": run.problem, "method": run.method, "scale": run.scale, "track": run.track,
        "n": len(group), "selection": rule, "skipped_steps": sum(r.skipped_steps for r in group),
        "diverged": {str(r.seed): r.diverged for r in group if r.diverged is not None}, "excluded": [told(group)],
    }  # fmt: skip


def table(gone: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """Every line that diverged, with the seeds and epochs at which it did."""
    return pd.DataFrame([
        {
            "problem": title(group[0].problem), "method": source(name, label(group[0].method)),
            "diverged (seed: epoch)": "; ".join(f"{r.seed}: {r.diverged}" for r in group if r.diverged is not None),
            "n": len(group),
        }
        for name, group in gone.items()
    ])  # fmt: skip


def sentence(gone: Groups, problem: str) -> str:
    """Which lines of a problem diverged; nothing where none did."""
    own = [f"{label(group[0].method)} {told(group)}" for group in gone.values() if group[0].problem == problem]
    return f"Left out of every comparison: {'; '.join(own)}." if own else ""
