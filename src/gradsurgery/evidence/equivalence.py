"""When two methods are as good as equal: a region of practical equivalence, and how probable it is across problems.

The Bayesian signed-rank test (Benavoli et al. 2014; `baycomp`) says with which probability the next block would favour
the sum by more than the region, favour neither, or favour the method: what a test that did not reject cannot say.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from gradsurgery.evidence.measures import TOLERANCE, measure
from gradsurgery.evidence.statistics import DRAWS, significant

SURE = 0.95  # a posterior probability that makes a word
RELATIVE = 0.01  # of the sum's level: half-width for an error, which has no range to take half a point of
_POINT = 0.005  # half a point of a similarity in [0, 1]
_SEED = 20_202

REGION = (
    "half a point of accuracy, area or similarity (protocol.md 1.2 sets it for accuracies; for the others it is ours), "
    "1 % of the sum's own level for an error"
)


@dataclasses.dataclass(frozen=True)
class Posterior:
    """Probabilities that the sum is better by more than the region, that neither is, that the method is; n blocks."""

    worse: float
    equal: float
    better: float
    n: int

    @property
    def word(self) -> str:
        """What is more probable than `SURE`, if anything is."""
        said = {"practically equal": self.equal, "better than the sum": self.better, "worse than the sum": self.worse}
        return next((word for word, p in said.items() if p > SURE), "undecided")


def region(metric: str, level: float) -> float:
    """Half the width of the region of practical equivalence, in the metric's own unit.

    Args:
        metric: `<task>.<metric>`, or its last word.
        level: what the sum reaches.
    """
    last = metric.rsplit(".", 1)[-1]
    if last in TOLERANCE:
        return TOLERANCE[last] / measure(last).factor
    return _POINT if last == "ssim" else RELATIVE * abs(level)


def posteriors(levels: Mapping[str, Sequence[float]], baseline: str) -> dict[str, Posterior]:
    """Every method against the baseline.

    Args:
        levels: by method, a number a block, in units of the region; more is better.
        baseline: one of the methods.

    Raises:
        ValueError: for fewer than three blocks, of which nothing can be said.
    """
    from baycomp import SignedRankTest  # takes long to import, and only this needs it

    base = np.array(levels[baseline])
    if len(base) < 3:
        raise ValueError(f"`levels` must hold at least three blocks, found {len(base)}.")
    found = {}
    for method, own in levels.items():
        if method != baseline:
            drawn = SignedRankTest(base, np.array(own), rope=1.0, nsamples=DRAWS, random_state=_SEED)
            worse, equal, better = (significant(float(p), 3) for p in drawn.probs())
            found[method] = Posterior(worse, equal, better, len(base))
    return found


def words(found: Mapping[str, Posterior]) -> dict[str, list[str]]:
    """Methods by word."""
    said: dict[str, list[str]] = {}
    for method, posterior in found.items():
        said.setdefault(posterior.word, []).append(method)
    return said
