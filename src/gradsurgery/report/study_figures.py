"""Figures of an equal-budget search: what n trials can be expected to reach, and the winners on fresh seeds."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from gradsurgery.evidence.study import STATIC, Trial
from gradsurgery.report.study_tables import against, curves, how
from gradsurgery.report.style import canvas, colour, label, line, look, studied


def best_of_n(trials: Sequence[Trial], rule: str) -> Figure:
    """Left, the expected best validation of n trials; right, every winner minus tuned static weights on fresh seeds."""
    found, shown, compared = curves(trials, rule), how(trials), against(trials, STATIC, rule)
    names = list(found)
    with look():
        drawn = canvas(9.4, max(3.6, 1.2 + 0.3 * len(names)))
        left, right = drawn.subplots(1, 2, width_ratios=[1.2, 1.0])
        for method, values in found.items():
            left.plot(
                range(1, len(values) + 1), [shown.factor * abs(v) for v in values], line(method, names),
                color=colour(method), linewidth=1.8 if studied(method) else 1.2, label=label(method),
            )  # fmt: skip
        left.locator_params(axis="x", integer=True)
        left.set_xlabel("trials")
        left.set_ylabel(f"expected best validation, {shown.name}{f' ({shown.unit})' if shown.unit else ''}")
        left.legend(frameon=False, ncols=2)
        right.axvline(0.0, color=colour(STATIC), linewidth=1.2)
        order = sorted(compared, key=lambda m: compared[m].difference.mean)
        for height, method in enumerate(order):
            entry = compared[method].difference
            if entry.low is not None and entry.high is not None:
                reach = [shown.factor * entry.low, shown.factor * entry.high]
                right.plot(reach, [height] * 2, "-", color=colour(method), linewidth=2.0)
            right.plot(shown.factor * entry.mean, height, "o", color=colour(method), markersize=5)
        right.set_yticks(range(len(order)), [label(m) for m in order])
        right.set_xlabel(f"test, minus tuned static weights{f' ({shown.step})' if shown.step else ''}")
    return drawn
