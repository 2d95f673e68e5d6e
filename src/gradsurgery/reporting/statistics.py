"""Means with their uncertainty. Intervals are Student's t over independent repeats; with one repeat there is none."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student


@dataclasses.dataclass(frozen=True)
class Summary:
    """Mean, standard deviation and 95 % interval over `n` repeats; the last two are None when n = 1."""

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None

    def as_record(self) -> dict[str, object]:
        """The form that metrics.json holds; six significant digits, so that the file is stable."""
        interval = None if self.low is None or self.high is None else [significant(self.low), significant(self.high)]
        sd = None if self.sd is None else significant(self.sd)
        return {"n": self.n, "mean": significant(self.mean), "sd": sd, "ci95": interval}


def significant(value: float, digits: int = 6) -> float:
    """`value` to a number of significant digits."""
    return float(f"{value:.{digits}g}")


def summarise(values: Sequence[float]) -> Summary:
    """Mean and 95 % t interval of independent repeats. Raises ValueError when there are none."""
    if len(values) == 0:
        raise ValueError("`values` must hold at least one number, found none.")
    mean = float(np.mean(values))
    if len(values) == 1:
        return Summary(1, mean, None, None, None)
    sd = float(np.std(values, ddof=1))
    half = float(student.ppf(0.975, len(values) - 1)) * sd / len(values) ** 0.5
    return Summary(len(values), mean, sd, mean - half, mean + half)


def test_noise(pairs: Sequence[tuple[float, float]], size: int) -> float:
    """How far chance in drawing the test set alone can move a difference of accuracies, at 95 %.

    All seeds share one test set, so repeats over seeds do not average this out, and an interval over seeds does not
    show it. Errors of the two methods are taken as independent; they coincide in part, so this is an upper bound.

    Args:
        pairs: both accuracies, in [0, 1], for every task that the difference is averaged over.
        size: examples in the test set.
    """
    variance = sum(p * (1.0 - p) + q * (1.0 - q) for p, q in pairs) / size
    return float(norm.ppf(0.975)) * variance**0.5 / len(pairs)
