"""Which epoch of a run is reported. Training writes every epoch down; a named rule chooses afterwards.

best-val    the epoch with the best validation score: the only rule that a fair comparison may use
last        the last epoch, looking at nothing
best-test   the epoch with the best test score: an oracle, shown beside the others to measure its optimism
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradsurgery.reporting.history import Run


def score(epoch: Mapping[str, Any], split: str, metrics: Mapping[str, bool]) -> float:
    """Mean of the metrics on `split`, each signed so that higher is better.

    Departures:
        1. protocol.md 1.3 selects by validation Delta-m. All metrics of a problem here share one scale (accuracies),
           where both orders agree but for the small differences between the single-task bases.
    """
    return float(np.mean([epoch[f"{split}.{name}"] * (1.0 if higher else -1.0) for name, higher in metrics.items()]))


def _best(run: Run, split: str) -> int:
    # argmax takes the first of equals: the earliest epoch that is as good.
    return int(np.argmax([score(epoch, split, run.own_metrics) for epoch in run.epochs]))


RULES: Mapping[str, Callable[[Run], int]] = {
    "best-val": lambda run: _best(run, "val"),
    "last": lambda run: len(run.epochs) - 1,
    "best-test": lambda run: _best(run, "test"),
}


def select(run: Run, rule: str) -> dict[str, float]:
    """Test metrics of `run` at the epoch that `rule` picks. Raises ValueError for an unknown rule."""
    if rule not in RULES:
        raise ValueError(f"`selection` must be one of {', '.join(RULES)}, found {rule!r}.")
    epoch = run.epochs[RULES[rule](run)]
    return {name: float(epoch[f"test.{name}"]) for name in run.own_metrics}
