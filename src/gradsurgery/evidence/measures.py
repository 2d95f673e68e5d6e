"""How a metric is printed: its name in words, its unit, its digits. Chosen by the last word of `<task>.<metric>`."""

import dataclasses
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from gradsurgery.evidence.statistics import significant


@runtime_checkable
class Interval(Protocol):
    """A mean and its 95 % interval, which one repeat does not have."""

    @property
    def mean(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


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

    def say(self, found: Interval | None, signed: bool = False, digits: int | None = None) -> str:
        """`90.12 [89.80, 90.44]`, the bare mean where there is one repeat only, a dash where there is none.

        The one place where an interval becomes text: from six significant digits, as the files hold it, so that a tie
        is broken alike wherever the number is printed.

        Args:
            found: a mean with its interval, in the metric's own unit.
            signed: for a difference.
            digits: decimals, where they are not the measure's.
        """
        if found is None:
            return "-"
        form = f"{'+' if signed else ''}.{self.digits if digits is None else digits}f"
        ends = () if found.low is None or found.high is None else (found.low, found.high)
        mean, *interval = (format(self.factor * significant(number), form) for number in (found.mean, *ends))
        return f"{mean} [{', '.join(interval)}]" if interval else mean

    def plain(self, value: float | None) -> str:
        """A number without a sign or an interval."""
        return "-" if value is None else f"{self.factor * significant(value):.{self.digits}f}"

    @property
    def of_step(self) -> str:
        """` (points)` behind the head of a column of differences, or nothing."""
        return f" ({self.step})" if self.step else ""

    @property
    def of_unit(self) -> str:
        """` (%)` behind the head of a column of levels, or nothing."""
        return f" ({self.unit})" if self.unit else ""


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
    "success": Measure("success", 100.0, 1, "%", "points"),
    "miou": Measure("mIoU", 100.0, 2, "%", "points"),
    "pixel_accuracy": Measure("pixel accuracy", 100.0, 2, "%", "points"),
    "error": Measure("error", 100.0, 2, "%", "points"),
    "absolute_error": Measure("absolute error", 1.0, 4, "", ""),
    "relative_error": Measure("relative error", 1.0, 4, "", ""),
    "mean": Measure("mean angle", 1.0, 2, "degrees", "degrees"),
    "median": Measure("median angle", 1.0, 2, "degrees", "degrees"),
    "within_11": Measure("within 11.25 degrees", 100.0, 2, "%", "points"),
    "within_22": Measure("within 22.5 degrees", 100.0, 2, "%", "points"),
    "within_30": Measure("within 30 degrees", 100.0, 2, "%", "points"),
}


# What may be asked of a run beside its problem's own metrics.
DERIVED = {
    "end_total": Measure("total loss at the end", 1.0, 1, "", ""),
    "final_train_loss": Measure("training loss at the end", 1.0, 3, "", ""),
    "conflict_share": Measure("pairs in conflict", 100.0, 1, "%", "points"),
    "severe_conflict": Measure("steps in severe conflict", 100.0, 1, "%", "points"),
}
# What two lines are held against each other for beside their metrics.
SHARES = {
    "conflict_at_loss": Measure("conflict at equal loss", 100.0, 1, "%", "points"),
    "conflict_at_step": Measure("conflict at equal step", 100.0, 1, "%", "points"),
}
# Columns of published tables that are no metric of a problem, by the last word of their name (`ledger/columns.py`).
PRINTED = {
    "train_loss": Measure("training loss at the end", 1.0, 3, "", ""),
    "delta_m_metric": Measure("Delta-m, metrics", 1.0, 2, "%", "%"),
    "delta_m_task": Measure("Delta-m, tasks", 1.0, 2, "%", "%"),
    "gain_task": Measure("gain, tasks", 1.0, 2, "%", "%"),
    "mean_rank": Measure("mean rank", 1.0, 2, "", ""),
    "above_0": Measure("pairs with a cosine of 0 or more", 100.0, 2, "%", "points"),
    "to_minus_01": Measure("pairs from 0 down to -0.01", 100.0, 2, "%", "points"),
    "to_minus_02": Measure("pairs from -0.01 down to -0.02", 100.0, 2, "%", "points"),
    "to_minus_03": Measure("pairs from -0.02 down to -0.03", 100.0, 2, "%", "points"),
    "below_minus_01": Measure("fewer pairs below -0.01", 100.0, 2, "%", "points"),
    "below_minus_02": Measure("fewer pairs below -0.02", 100.0, 2, "%", "points"),
    "below_minus_03": Measure("pairs below -0.03", 100.0, 2, "%", "points"),
    "below_minus_04": Measure("fewer pairs below -0.04", 100.0, 2, "%", "points"),
    "below_minus_08": Measure("pairs below -0.08", 100.0, 2, "%", "points"),
    "distance": Measure("mean difference of ranks", 1.0, 2, "", ""),
    "of_first_quarter": Measure("mean difference of ranks", 1.0, 2, "", ""),
}
PLAIN = Measure("", 1.0, 2, "", "")


def word(metric: str) -> str:
    """`left.accuracy` -> `accuracy`."""
    return metric.split(".", 1)[1]


def measure(metric: str) -> Measure:
    """How `metric`, or the bare word of one, is printed; an unknown word is printed as it is, with four decimals."""
    last = metric.rsplit(".", 1)[-1]
    found = KNOWN.get(last) or DERIVED.get(last) or SHARES.get(last) or PRINTED.get(last)
    return found or Measure(last.replace("_", " "), 1.0, 4, "", "")


def is_derived(metric: str) -> bool:
    """Whether a metric is none of a problem's own, but one of `DERIVED` or `<task>.train_loss`."""
    return metric in DERIVED or metric.endswith(".train_loss")


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
