"""How a metric is printed: its name in words, its unit, its digits. Chosen by the last word of `<task>.<metric>`."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Measure:
    """One kind of metric; a value is multiplied by `factor` before it is printed with `digits` decimals.

    `unit` stands behind a value and `step` behind a difference of two values; both are empty for a bare number.
    """

    name: str
    factor: float
    digits: int
    unit: str
    step: str


KNOWN = {
    "accuracy": Measure("accuracy", 100.0, 2, "%", "points"),
    "auc": Measure("ROC-AUC", 1.0, 4, "", ""),
    "auc_200": Measure("ROC-AUC at 200 thresholds", 1.0, 4, "", ""),
    "ssim": Measure("SSIM", 1.0, 4, "", ""),
    "mae": Measure("mean absolute error", 1.0, 4, "", ""),
    "l1": Measure("L1 error", 1.0, 4, "", ""),
    "mse": Measure("mean squared error", 1.0, 4, "", ""),
    "loss": Measure("loss", 1.0, 3, "", ""),
    "solved": Measure("solved", 1.0, 4, "", ""),
}


def word(metric: str) -> str:
    """`left.accuracy` -> `accuracy`."""
    return metric.split(".", 1)[1]


def measure(metric: str) -> Measure:
    """How `metric`, or the bare word of one, is printed; an unknown word is printed as it is, with four decimals."""
    last = metric.rsplit(".", 1)[-1]
    return KNOWN.get(last, Measure(last.replace("_", " "), 1.0, 4, "", ""))


def by_word(metrics: Mapping[str, bool]) -> dict[str, list[str]]:
    """The metrics of every word, in the order of the problem: what may be averaged over tasks and what may not."""
    groups: dict[str, list[str]] = {}
    for name in metrics:
        groups.setdefault(word(name), []).append(name)
    return groups


def capital(text: str) -> str:
    """The text with its first letter large and the rest as it is."""
    return text[:1].upper() + text[1:]


def worded(metric: str) -> str:
    """A metric as a column's title: `left accuracy (%)`, `income ROC-AUC`; `all` stands for the mean over tasks."""
    task, last = metric.split(".", 1)
    how = measure(last)
    unit = f" ({how.unit})" if how.unit else ""
    return f"{how.name}, mean of tasks{unit}" if task == "all" else f"{task.replace('_', ' ')} {how.name}{unit}"
