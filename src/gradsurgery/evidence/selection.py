"""Which epoch of a run is reported. Training writes every epoch down; a named rule chooses afterwards.

best-val    the epoch with the best validation score: the only rule that a fair comparison may use
last        the last epoch, looking at nothing
last10      the mean over the last ten epochs on test, which most published tables of dense problems use; over the last
            half of a run of fewer than 20 epochs, where ten would reach back to the start
best-test   the epoch with the best test score: an oracle, shown beside the others to measure its optimism

Only the first two may decide a comparison (`FAIR`): the others look at the test set, or average over it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gradsurgery.core.metrics import score
from gradsurgery.evidence.history import Run


def _best(run: Run, split: str) -> int:
    # argmax takes the first of equals: the earliest epoch that is as good.
    return int(np.argmax([score(epoch, split, run.own_metrics) for epoch in run.epochs]))


def _last10(run: Run) -> range:
    count = len(run.epochs)
    return range(count - min(10, (count + 1) // 2), count)


RULES: Mapping[str, Callable[[Run], Sequence[int]]] = {
    "best-val": lambda run: [_best(run, "val")],
    "last": lambda run: [len(run.epochs) - 1],
    "last10": _last10,
    "best-test": lambda run: [_best(run, "test")],
}
FAIR = ("best-val", "last")


def improving(runs: Sequence[Run]) -> bool:
    """Whether the last epoch validates best on every seed: training on would have helped."""
    return all(run.trajectory is None and len(run.epochs) > 1 for run in runs) and all(
        _best(run, "val") == len(run.epochs) - 1 for run in runs
    )


def select(run: Run, rule: str) -> dict[str, float]:
    """Test metrics of `run` at the epoch that `rule` picks, or their mean where it picks several.

    Raises:
        ValueError: for an unknown rule.
    """
    if rule not in RULES:
        raise ValueError(f"`selection` must be one of {', '.join(RULES)}, found {rule!r}.")
    epochs = [run.epochs[index] for index in RULES[rule](run)]
    return {name: float(np.mean([epoch[f"test.{name}"] for epoch in epochs])) for name in run.own_metrics}
