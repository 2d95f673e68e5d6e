"""An equal-budget search as a picture: what n trials can be expected to reach, and the winners on fresh seeds."""

from collections.abc import Collection, Mapping, Sequence

from matplotlib.figure import Figure

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.measures import Measure
from gradsurgery.evidence.searches import Searched
from gradsurgery.evidence.study import STATIC
from gradsurgery.report.marks import effect
from gradsurgery.report.style import canvas, colour, label, line, look


def best_of_n(
    found: Mapping[str, Searched], compared: Sequence[Contrast], shown: Measure, studied: Collection[str]
) -> Figure:
    """Left, the expected best validation of n trials; right, every winner minus tuned static weights on fresh seeds."""
    names = list(found)
    with look():
        drawn = canvas(9.4, max(3.6, 1.2 + 0.3 * len(names)))
        left, right = drawn.subplots(1, 2, width_ratios=[1.2, 1.0])
        for method, one in found.items():
            left.plot(
                range(1, len(one.curve) + 1), [shown.factor * abs(v) for v in one.curve], line(method, names),
                color=colour(method), linewidth=1.8 if method in studied else 1.2, label=label(method),
            )  # fmt: skip
        left.locator_params(axis="x", integer=True)
        left.set_xlabel("trials")
        left.set_ylabel(f"expected best validation, {shown.name}{shown.of_unit}")
        left.legend(frameon=False, ncols=2)
        right.axvline(0.0, color=colour(STATIC), linewidth=1.2)
        order = sorted(compared, key=lambda c: c.gain.mean)
        for height, c in enumerate(order):
            effect(right, height, c.gain.moved(shown.factor), colour(c.method))
        right.set_yticks(range(len(order)), [label(c.method) for c in order])
        right.set_xlabel(f"test, minus tuned static weights{shown.of_step}")
    return drawn
