"""Methods ranked across problems: Friedman's test, Nemenyi's critical difference, and each method against the sum.

A block is one task's metric on one problem, as protocol.md 1.3 has it. Metrics of one data set depend on each other, so
that ranks are only ever taken over several data sets, and what every problem says with one vote stands beside them.
Which methods and problems take part is decided by what was run, never by what came out.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import scipy  # stats is imported when it is asked for, which takes longer than all the rest of the evidence

from gradsurgery.evidence.contract import TRACK
from gradsurgery.evidence.fronts import is_static
from gradsurgery.evidence.groups import Metrics
from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.statistics import holm

BASELINE = "sum"
LEAST_BLOCKS = 10  # below it the distribution of Friedman's statistic is not the one that is looked up (Demsar 2006)
LEAST_SETS = 2
LEAST_METHODS = 3
LEVEL = 0.05
RELATIVE = 0.01

# Bounds and hand-made weights are none of the methods that are compared; nor are lines that are there to measure.
_KINDS = ("study", "baseline", "control", "equal_compute", "search")
# Problems that are made of the same data.
_SHARED = ("multi_fashion_mnist", "cifar100", "drgrad_synthetic", "mmoe_synthetic")
_RAW = {"name": "gcond", "output": "raw"}  # called `gcond` on some problems and `gcond-raw` on others

Margin = Callable[[str], float | None]
Blocks = Mapping[tuple[str, str], Mapping[str, float]]  # by problem and metric, a level by method


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Methods over blocks; all ranks are means, 1 the best.

    Attributes:
        ranks: by method; best first.
        votes: with one vote a problem; best first.
        problems: how many blocks each problem has, and the methods' ranks in them.
        friedman: p that all methods are alike.
        apart: p values of Nemenyi's test, method by method.
        against: p values of Wilcoxon's test of every method against the sum, after Holm; empty without the sum.
        critical: ranks further apart than this differ at 5 %.
    """

    ranks: Mapping[str, float]
    votes: Mapping[str, float]
    problems: Mapping[str, tuple[int, Mapping[str, float]]]
    friedman: float
    apart: Mapping[str, Mapping[str, float]]
    against: Mapping[str, float]
    critical: float

    @property
    def blocks(self) -> int:
        return sum(count for count, _ in self.problems.values())

    def pairs(self) -> list[tuple[str, str]]:
        """Better and worse method of every pair whose mean ranks are further apart than the critical difference."""
        names = list(self.ranks)
        return [
            (a, b) for i, a in enumerate(names) for b in names[i + 1 :]
            if self.ranks[b] - self.ranks[a] > self.critical
        ]  # fmt: skip


def critical_difference(methods: int, blocks: int) -> float:
    """Nemenyi's: mean ranks of two methods that are further apart than this differ at 5 %."""
    quantile = float(scipy.stats.studentized_range.ppf(1 - LEVEL, methods, np.inf)) / 2**0.5
    return quantile * (methods * (methods + 1) / (6 * blocks)) ** 0.5


def data_set(problem: str) -> str:
    """Problems of one data set have one name here."""
    return next((name for name in _SHARED if problem.startswith(name)), problem)


def levels(problems: Mapping[str, Mapping[str, Line]], metrics: Metrics, margin: Margin) -> Blocks:
    """Test metrics, mean over seeds, of the largest set of methods and problems that all ran; empty where none is.

    More is better, and one unit is the margin of practical equality, or 1 % of the sum's level for a metric that has
    none, so that blocks with different metrics can be put side by side; rounded to a hundredth of it, so that no tie
    is broken by the order of a sum. Among all sets of methods the one with the most cells (methods times problems that
    ran them all) is taken, of equals the one with more methods.
    """
    lines = {problem: _ranked_lines(own, metrics) for problem, own in problems.items()}
    lines = {problem: found for problem, found in lines.items() if BASELINE in found}
    best: tuple[int, int, list[str]] = (0, 0, [])
    for methods in _shared_sets([frozenset(found) for found in lines.values()]):
        where = [problem for problem in lines if methods <= set(lines[problem])]
        blocks = sum(len(lines[problem][BASELINE].run.metrics) for problem in where)
        enough = blocks >= LEAST_BLOCKS and len({data_set(p) for p in where}) >= LEAST_SETS
        if enough and len(methods) >= LEAST_METHODS:
            best = max(best, (len(methods) * len(where), len(methods), sorted(methods)))
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for problem, found in lines.items():
        if best[2] and set(best[2]) <= set(found):
            for metric, higher in found[BASELINE].run.metrics.items():
                means = {m: float(metrics[found[m].run.experiment][metric]["mean"]) for m in best[2]}
                unit = margin(metric) or RELATIVE * abs(means[BASELINE]) or 1.0
                signed = {m: (1 if higher else -1) * mean / unit for m, mean in means.items()}
                rows[problem, metric] = {m: float(np.round(value, 2)) for m, value in signed.items()}
    return rows


def rank(blocks: Blocks) -> Ranking:
    """Mean ranks and their tests.

    Raises:
        ValueError: for fewer than `LEAST_BLOCKS` blocks, fewer than `LEAST_SETS` data sets or too few methods.
    """
    sets = {data_set(problem) for problem, _ in blocks}
    if len(blocks) < LEAST_BLOCKS or len(sets) < LEAST_SETS:
        raise ValueError(
            f"`blocks` must hold at least {LEAST_BLOCKS} blocks of {LEAST_SETS} data sets or more, "
            f"found {len(blocks)} of {len(sets)}."
        )
    methods = list(next(iter(blocks.values())))
    if len(methods) < LEAST_METHODS:
        raise ValueError(f"`blocks` must hold at least {LEAST_METHODS} methods, found {len(methods)}.")
    table = np.array([[row[m] for m in methods] for row in blocks.values()])
    places = np.array([problem for problem, _ in blocks])
    each = np.stack([table[places == place].mean(axis=0) for place in dict.fromkeys(places)])
    ranked = scipy.stats.rankdata(-table, axis=1)
    by_problem = {
        str(p): (int((places == p).sum()), dict(zip(methods, ranked[places == p].mean(axis=0).tolist(), strict=True)))
        for p in dict.fromkeys(places)
    }
    means, votes = _mean_ranks(table, methods), _mean_ranks(each, methods)
    same = bool((table == table[:, :1]).all())
    return Ranking(
        means, votes, by_problem, 1.0 if same else float(scipy.stats.friedmanchisquare(*table.T).pvalue),
        _nemenyi(means, len(table)), _against(dict(zip(methods, table.T.tolist(), strict=True))),
        critical_difference(len(methods), len(table)),
    )  # fmt: skip


def _mean_ranks(table: np.ndarray, methods: Sequence[str]) -> dict[str, float]:
    """1 is the best, ties share; best first."""
    means = scipy.stats.rankdata(-table, axis=1).mean(axis=0)
    return {methods[i]: float(means[i]) for i in np.argsort(means, kind="stable")}


def _nemenyi(means: Mapping[str, float], blocks: int) -> dict[str, dict[str, float]]:
    unit = (len(means) * (len(means) + 1) / (6.0 * blocks)) ** 0.5 / 2**0.5
    return {
        a: {b: 1.0 if a == b else float(scipy.stats.studentized_range.sf(abs(x - y) / unit, len(means), np.inf))
            for b, y in means.items()}
        for a, x in means.items()
    }  # fmt: skip


def _against(columns: Mapping[str, Sequence[float]]) -> dict[str, float]:
    if BASELINE not in columns:
        return {}
    base = np.array(columns[BASELINE])
    differences = {m: np.array(own) - base for m, own in columns.items() if m != BASELINE}
    p = [float(scipy.stats.wilcoxon(d).pvalue) if d.any() else 1.0 for d in differences.values()]
    return dict(zip(differences, holm(p), strict=True))


def _ranked_lines(lines: Mapping[str, Line], metrics: Metrics) -> dict[str, Line]:
    """The controlled lines of a problem with data that answer for all its tasks, by the name they are ranked under."""
    found = {}
    for method, line in lines.items():
        run, record = line.run, metrics[line.run.experiment]
        kind = run.role.kind in _KINDS and not is_static(line) and not line.alone
        if line.whole and run.trajectory is None and run.track == TRACK and not record.get("excluded") and kind:
            found["gcond-raw" if run.declaration.get("aggregator") == _RAW else method] = line
    return found


def _shared_sets(sets: Sequence[frozenset[str]]) -> set[frozenset[str]]:
    """Every set of methods that is all that some group of problems has in common."""
    closed: set[frozenset[str]] = set()
    for each in sets:
        closed |= {each & other for other in closed} | {each}
    return closed
