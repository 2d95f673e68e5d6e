"""Cosines beside cosines that hold no conflict of tasks: a row of their table, and what they say."""

from collections.abc import Sequence

from gradsurgery.evidence.controls import CROSS_TASK, SAME_TASK, Null
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import measure
from gradsurgery.evidence.statistics import Summary
from gradsurgery.report.style import label
from gradsurgery.report.tables import source

_NULLS = {
    "mean_cosine": "two tasks, whole batch", CROSS_TASK: "two tasks, one half of the batch each",
    SAME_TASK: "one task, two halves of the batch",
}  # fmt: skip


def row(one: Null, group: Sequence[Run]) -> dict[str, object]:
    role = group[0].role
    if one.mean is None:
        text = f"two random directions, P = {one.parameters:,} (computed)"
        numbers: dict[str, object] = {"mean cosine": "0", "share below 0": "0.5", "sd": f"{one.sd:.2g}", "n": "-"}
    else:
        text = f"{_NULLS[one.kind]} (trained with {label(role.of or one.method)})"
        if role.kind == "placebo":
            text = f"mixtures of the tasks on parts of the batch ({label(one.method)})"
        numbers = {
            "mean cosine": measure("cosine").say(one.mean, digits=3), "share below 0": f"{one.below:.2f}",
            "sd": f"{one.sd:.3f}", "n": f"{len(group)} seeds, {one.steps} steps",
        }  # fmt: skip
    return {"gradients of": source(group[0].experiment, text), **numbers}


def sentence(gap: Summary) -> str:
    """Whether two tasks conflict more than two halves of one task's batch do, at the same noise."""
    said = f"{measure('cosine').say(gap, signed=True, digits=3)}, n = {gap.n}"
    if gap.high is not None and gap.high < 0:
        return f"Two tasks agree less than two halves of one task's batch (difference of mean cosines {said})."
    if gap.low is not None and gap.low > 0:
        return f"Two tasks agree more than two halves of one task's batch (difference of mean cosines {said})."
    return f"Inconclusive between two tasks and two halves of one task's batch (difference of mean cosines {said})."
