"""Methods ranked across problems: Friedman's test, Nemenyi's critical difference, and each method against the sum.

A block is one task's metric on one problem, as protocol.md 1.3 has it. Metrics of one data set depend on each other, so
that ranks are only ever taken over several data sets, and what every problem says with one vote stands beside them.
Which methods and problems take part is decided by what was run, never by what came out.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, studentized_range, wilcoxon

from gradsurgery.evidence.contract import TRACK, watching
from gradsurgery.evidence.groups import of, problems
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.statistics import holm
from gradsurgery.report.equivalence import region
from gradsurgery.report.section import Evidence
from gradsurgery.report.style import family

BASELINE = "sum"
LEAST_BLOCKS = 10  # below it the distribution of Friedman's statistic is not the one that is looked up (Demsar 2006)
LEAST_SETS = 2
LEAST_METHODS = 3
LEVEL = 0.05

# Not one of the methods that are compared: bounds, hand-made weights, and controls of one mechanism.
_OUTSIDE = {"single_task", "floor", "static", "independent", "placebo_random", "placebo_positive", "placebo_permuted"}
# Problems that are made of the same data.
_SHARED = ("multi_fashion_mnist", "cifar100", "drgrad_synthetic", "mmoe_synthetic")
_RAW = {"name": "gcond", "output": "raw"}  # called `gcond` on some problems and `gcond-raw` on others


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Methods over blocks.

    Attributes:
        ranks: mean rank by method, 1 the best; best first.
        friedman: p that all methods are alike.
        apart: p values of Nemenyi's test, method by method.
        against: p values of Wilcoxon's test of every method against the sum, after Holm; empty without the sum.
        blocks: how many.
    """

    ranks: pd.Series
    friedman: float
    apart: pd.DataFrame
    against: Mapping[str, float]
    blocks: int

    @property
    def critical(self) -> float:
        return critical_difference(len(self.ranks), self.blocks)

    def pairs(self) -> list[tuple[str, str]]:
        """Better and worse method of every pair whose mean ranks are further apart than the critical difference."""
        names = list(self.ranks.index)
        return [
            (a, b) for i, a in enumerate(names) for b in names[i + 1 :]
            if self.ranks[b] - self.ranks[a] > self.critical
        ]  # fmt: skip


def critical_difference(methods: int, blocks: int) -> float:
    """Nemenyi's: mean ranks of two methods that are further apart than this differ at 5 %."""
    quantile = float(studentized_range.ppf(1 - LEVEL, methods, np.inf)) / 2**0.5
    return quantile * (methods * (methods + 1) / (6 * blocks)) ** 0.5


def data_set(problem: str) -> str:
    """Problems of one data set have one name here."""
    return next((name for name in _SHARED if problem.startswith(name)), problem)


def levels(evidence: Evidence) -> pd.DataFrame:
    """Test metrics, mean over seeds, of the largest set of methods and problems that all ran; empty where none is.

    A row per block under `(problem, metric)`, a column per method. More is better, and one unit is the region of
    practical equivalence, so that blocks with different metrics can be put side by side; rounded to a hundredth of it,
    which is less than one test picture, so that no tie is broken by the order of a sum. Among all sets of methods the
    one with the most cells (methods times problems that ran them all) is taken, of equals the one with more methods.
    """
    lines = {problem: _lines(evidence, problem) for problem in problems(evidence.groups)}
    lines = {problem: found for problem, found in lines.items() if BASELINE in found}
    best: tuple[int, int, list[str]] = (0, 0, [])
    for methods in _shared_sets([frozenset(found) for found in lines.values()]):
        where = [problem for problem in lines if methods <= set(lines[problem])]
        blocks = sum(len(lines[problem][BASELINE][0].metrics) for problem in where)
        enough = blocks >= LEAST_BLOCKS and len({data_set(p) for p in where}) >= LEAST_SETS
        if enough and len(methods) >= LEAST_METHODS:
            best = max(best, (len(methods) * len(where), len(methods), sorted(methods)))
    rows = {}
    for problem, found in lines.items():
        if best[2] and set(best[2]) <= set(found):
            for metric, higher in found[BASELINE][0].metrics.items():
                means = {m: float(evidence.metrics[found[m][0].experiment][metric]["mean"]) for m in best[2]}
                unit = region(metric, means[BASELINE]) or 1.0
                rows[problem, metric] = {m: (1 if higher else -1) * mean / unit for m, mean in means.items()}
    return pd.DataFrame.from_dict(rows, orient="index").round(2)


def by_problem(found: pd.DataFrame) -> pd.DataFrame:
    """One row per problem: the mean of its blocks."""
    return found.groupby(level=0).mean()


def rank(found: pd.DataFrame) -> Ranking:
    """Mean ranks and their tests.

    Args:
        found: as `levels` gives them.

    Raises:
        ValueError: for fewer than `LEAST_BLOCKS` blocks, fewer than `LEAST_SETS` data sets or too few methods.
    """
    sets = {data_set(str(problem)) for problem in found.index.get_level_values(0)}
    if len(found) < LEAST_BLOCKS or len(sets) < LEAST_SETS:
        raise ValueError(
            f"`found` must hold at least {LEAST_BLOCKS} blocks of {LEAST_SETS} data sets or more, "
            f"found {len(found)} of {len(sets)}."
        )
    if found.shape[1] < LEAST_METHODS:
        raise ValueError(f"`found` must hold at least {LEAST_METHODS} methods, found {found.shape[1]}.")
    from scikit_posthocs import posthoc_nemenyi_friedman  # takes statsmodels along, two seconds that only this needs

    ranks = mean_ranks(found)
    same = found.nunique(axis=1).max() == 1
    friedman = 1.0 if same else float(friedmanchisquare(*found.to_numpy().T).pvalue)
    ordered = found[list(ranks.index)]
    apart = posthoc_nemenyi_friedman(ordered.to_numpy())
    apart.index = apart.columns = ranks.index
    return Ranking(ranks, friedman, apart, _against(found), len(found))


def mean_ranks(found: pd.DataFrame) -> pd.Series:
    """1 is the best, ties share; best first."""
    return found.rank(axis=1, ascending=False).mean().sort_values(kind="stable")


def _against(found: pd.DataFrame) -> dict[str, float]:
    if BASELINE not in found:
        return {}
    differences = {m: (found[m] - found[BASELINE]).to_numpy() for m in found.columns.drop(BASELINE)}
    p = [float(wilcoxon(d).pvalue) if d.any() else 1.0 for d in differences.values()]
    return dict(zip(map(str, differences), holm(p), strict=True))


def _lines(evidence: Evidence, problem: str) -> dict[str, Sequence[Run]]:
    """The controlled lines of a problem with data that answer for all its tasks, by the name they are ranked under."""
    found = {}
    for method, group in of(evidence.groups, problem).items():
        run, record = group[0], evidence.metrics[group[0].experiment]
        whole = set(run.own_metrics) == set(run.metrics) and run.trajectory is None
        fair = run.track == TRACK and not record.get("excluded") and not watching(method)
        if whole and fair and family(method) not in _OUTSIDE:
            found["gcond-raw" if run.declaration.get("aggregator") == _RAW else method] = group
    return found


def _shared_sets(sets: Sequence[frozenset[str]]) -> set[frozenset[str]]:
    """Every set of methods that is all that some group of problems has in common."""
    closed: set[frozenset[str]] = set()
    for each in sets:
        closed |= {each & other for other in closed} | {each}
    return closed
