"""When a run counts as diverged, and how numbers that are not finite are written down."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def mean_of_finite(values: Sequence[float]) -> float:
    """Mean of those that are finite, as a step that was left out must not spoil its epoch; NaN where none is."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


def has_diverged(row: Mapping[str, Any], metrics: Iterable[str], steps: int, skipped: int) -> bool:
    """Whether an epoch is the one in which its run diverged; see docs/architecture.md, "History".

    Args:
        row: the epoch's numbers, as in `epochs` of a history.
        metrics: names of the problem's metrics.
        steps: optimiser steps of the epoch, taken or left out; 0 where the rule takes its own.
        skipped: how many of them were left out.

    Returns:
        True if a loss or a metric is not finite, or if every step was left out.
    """
    if 0 < steps == skipped:
        return True
    named = {f"{split}.{name}" for split in ("val", "test") for name in metrics}
    return not all(math.isfinite(value) for name, value in row.items() if name in named or name.endswith(".loss"))


def finite_or_null(document: Any) -> Any:
    """The same document, with None for every number that is not finite: strict JSON has no word for those."""
    if isinstance(document, float):
        return document if math.isfinite(document) else None
    if isinstance(document, Mapping):
        return {key: finite_or_null(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [finite_or_null(value) for value in document]
    return document
