"""Whether a method ever did what it is there for: one that did not has not been tested.

Numbers of a run's activity are means over its whole training (`core/activity.py`), and 0 where nothing was done. One
only tells how far the direction was from the mean gradient, which smoothing alone can move; it decides nothing. Weights
of the losses decide where nothing else does: a problem may give all its lines the same ones.
"""

from gradsurgery.core.activity import DEVIATION, WEIGHTS
from gradsurgery.evidence.history import Run

RARELY = 0.2  # of the steps: what a method does less often is tried where it has little to do
_NOTHING = 1e-3
_SHARES = ("share_resolved", "share_changed")


def acted(run: Run) -> bool | None:
    """Whether anything that the run reports was done to a thousandth on average; None where it reports nothing."""
    told = {name: value for name, value in (run.activity or {}).items() if name != DEVIATION}
    deciding = [value for name, value in told.items() if name != WEIGHTS] or list(told.values())
    return any(value > _NOTHING for value in deciding) if deciding else None


def acting(run: Run) -> float | None:
    """The share of steps in which the method did anything; None where the run does not report one."""
    return next((run.activity[name] for name in _SHARES if run.activity and name in run.activity), None)
