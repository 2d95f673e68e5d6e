"""What a comparison can see: its power, the least effect that it sees four times of five, the seeds that decide.

Of a two-sided t test of a mean over n seeds with spread `sd`, on one test set whose examples add `noise` (a 95 %
half-width) that no seed averages away. The noncentral t is scipy's.
"""

import functools

import scipy  # stats and optimize are imported when asked for, which takes longer than all the rest of the evidence
from scipy.special import stdtrit

from gradsurgery.evidence.statistics import examples_variance, with_examples

ALPHA, POWER = 0.05, 0.8
MOST = 10_000  # seeds: what would need more is not decided by seeds


def power(effect: float, sd: float, n: int, noise: float = 0.0, alpha: float = ALPHA) -> float:
    """How often the test finds an effect of this size, on its own side of zero."""
    error, freedom = _error(sd, n, noise)
    if error == 0.0:
        return 1.0 if effect else alpha / 2
    found = scipy.stats.nct.sf(stdtrit(freedom, 1 - alpha / 2), freedom, abs(effect) / error)
    return float(found) if found == found else 1.0  # scipy's nct is NaN where the effect is out of all proportion


@functools.lru_cache(maxsize=4096)
def detectable(sd: float, n: int, noise: float = 0.0, alpha: float = ALPHA, wanted: float = POWER) -> float:
    """The minimum detectable effect: the least that the test finds with the wanted power."""
    error, freedom = _error(sd, n, noise)
    if error == 0.0:
        return 0.0
    most = float(stdtrit(freedom, 1 - alpha / 2) + stdtrit(freedom, wanted)) + 3.0
    return error * float(
        scipy.optimize.brentq(lambda shift: power(shift * error, sd, n, noise, alpha) - wanted, 0.0, 2.0 * most)
    )


@functools.lru_cache(maxsize=4096)
def decides(effect: float, sd: float, noise: float = 0.0, alpha: float = ALPHA, wanted: float = POWER) -> int | None:
    """The fewest seeds that find the effect with the wanted power; None where no number does, as the test set is too
    small, or more than `MOST`."""
    if power(effect, sd, MOST, noise, alpha) < wanted:
        return None
    low, high = 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, sd, middle, noise, alpha) >= wanted else (middle, high)
    return high


def _error(sd: float, n: int, noise: float) -> tuple[float, float]:
    """Standard error of the mean over n seeds and a test set, and its degrees of freedom."""
    seeds, examples = sd**2 / n, examples_variance(noise)
    return (seeds + examples) ** 0.5, with_examples(n - 1.0, seeds, examples)
