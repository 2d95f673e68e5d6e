"""Which lines are held against which, family by family: everything but the plain comparison with the sum (`scores`).

A family's comparisons were planned together; where it is corrected, Holm's correction is over its methods. Levels are
means over the tasks of a problem's first kind of metric, unless a metric is named.
"""

from collections.abc import Mapping, Sequence

from gradsurgery.evidence.history import Run

Runs = Mapping[str, Sequence[Run]]

BASELINE = "sum"
TUNED = "tuned static weights"
LEAST = 3  # weights that can be called tuned
