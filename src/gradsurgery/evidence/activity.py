"""Whether a method ever did what it is there for: one that did not has not been tested.

Numbers of a run's activity are means over its whole training (`core/activity.py`), and 0 where nothing was done. One
only tells how far the direction was from the mean gradient, which smoothing alone can move; it decides nothing. Weights
of the losses decide where nothing else does: a problem may give all its lines the same ones.
"""

from gradsurgery.core.activity import DEVIATION, WEIGHTS
from gradsurgery.evidence.history import Run

_NOTHING = 1e-3


def acted(run: Run) -> bool | None:
    """Whether anything that the run reports was done to a thousandth on average; None where it reports nothing."""
    told = {name: value for name, value in (run.activity or {}).items() if name != DEVIATION}
    deciding = [value for name, value in told.items() if name != WEIGHTS] or list(told.values())
    return any(value > _NOTHING for value in deciding) if deciding else None
