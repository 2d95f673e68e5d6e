"""What chance in drawing the test set alone can move a difference by: known for accuracies and for areas under curves.

All seeds share one test set, so that repeats over seeds neither average this out nor show it. Errors of the two methods
are taken as independent, and tasks of a mean as fully dependent; neither holds, so that every number is an upper bound.

Departures:
    1. Errors and similarities (MAE, SSIM) would need the spread over test examples, which no history holds. Their range
       bounds it (Bhatia and Davis, 2000), but for an SSIM of 0.43 on 2,000 pictures by 0.06, several times the
       differences that are seen: such a bound tells nothing, and none is given.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import norm

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import by_word, measure
from gradsurgery.evidence.statistics import test_noise

# Share of positives in the test labels, by the problem's module and task, which no history holds. Synthetic labels are
# cut at the median of the training rows.
POSITIVES = {
    "census": {"income": 3133 / 49_881, "never_married": 21_445 / 49_881},
    "synthetic": {"first": 0.5, "second": 0.5},
}


def auc_noise(areas: Sequence[float], positives: int, negatives: int) -> float:
    """95 % bound on what drawing the test set can move an AUC by, or the difference of two (Hanley and McNeil, 1982).

    The scores of two models are taken as independent; they are not, so this is an upper bound, as `test_noise` is.
    """
    variance = 0.0
    for area in areas:
        twice, against = area / (2 - area), 2 * area**2 / (1 + area)
        spread = area * (1 - area) + (positives - 1) * (twice - area**2) + (negatives - 1) * (against - area**2)
        variance += spread / (positives * negatives)
    return float(norm.ppf(0.975)) * variance**0.5


def classes_of(run: Run, task: str) -> tuple[int, int] | None:
    """Positives and negatives in the test set of a binary task; None where they are not on record."""
    share = POSITIVES.get(str(run.declaration.get("module")), {}).get(task)
    size = run.examples(task)
    if share is None or not size:
        return None
    positives = min(max(round(share * size), 1), size - 1)
    return positives, size - positives


def metric_noise(run: Run, metric: str, mine: float, theirs: float) -> float | None:
    """Of the difference of one task's metric, whose two levels are given; None where it is not known."""
    task, word = metric.split(".", 1)
    if word == "accuracy" and (size := run.examples(task)) is not None:
        return test_noise([(mine, theirs)], size)
    if word == "auc" and (classes := classes_of(run, task)) is not None:
        return auc_noise([mine, theirs], *classes)
    return None


def mean_noise(run: Run, names: Sequence[str], mine: Mapping[str, float], theirs: Mapping[str, float]) -> float | None:
    """Of the difference of a mean over tasks.

    Args:
        run: any of the two methods'.
        names: metrics of one word, the levels of which `mine` and `theirs` hold.
    """
    if names[0].endswith(".accuracy"):
        means = [float(np.mean([levels[name] for name in names])) for levels in (mine, theirs)]
        return None if run.test_size is None else test_noise([(means[0], means[1])], run.test_size)
    each = [metric_noise(run, name, mine[name], theirs[name]) for name in names]
    known = [noise for noise in each if noise is not None]
    return float(np.mean(known)) if len(known) == len(names) else None


def unknown(run: Run) -> str:
    """What is to be said of a problem with metrics whose test-set noise is not known; empty where all are known."""
    metrics = by_word(run.metrics)
    missing = [
        word for word, names in metrics.items() if any(metric_noise(run, name, 0.5, 0.5) is None for name in names)
    ]
    if run.trajectory is not None or not missing:
        return ""
    names = " and ".join(measure(word).name for word in missing)
    return f"What the size of the test set alone can explain is not known for {names}: intervals are over seeds only."
