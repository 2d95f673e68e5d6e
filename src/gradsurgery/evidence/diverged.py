"""Lines of which a seed diverged: kept apart from those that are judged, and shown as what they are.

A mean over the seeds that happened to survive would flatter such a line, and a null is no number; so no statistic,
test, rank, front or figure holds it. What would have been compared with it is judged without it, and says why.
"""

from collections.abc import Sequence
from typing import Any

from gradsurgery.evidence.groups import Groups
from gradsurgery.evidence.history import Run


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
