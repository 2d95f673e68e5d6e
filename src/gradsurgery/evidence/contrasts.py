"""One line of a problem minus another, paired by seed: the one place where differences are tested.

A difference has one verdict. It is `better` or `worse` where its 95 % interval leaves zero out, it is larger than what
drawing the test set alone can explain (where that is known), and it stands after Holm's correction within its family;
`same` where one of these fails; `alone` where one repeat has no interval.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gradsurgery.evidence.lines import Line
from gradsurgery.evidence.statistics import Comparison, Summary, compare, significant

LEVEL = 0.05
BETTER, WORSE, SAME, ALONE = "better", "worse", "same", "alone"


@dataclasses.dataclass(frozen=True)
class Contrast:
    """`method` minus `minus` on one metric of one problem.

    Attributes:
        family: the comparisons that were planned together; Holm's correction, where there is one, is within
            (family, problem, metric).
        metric: `<task>.<metric>`, or `all.<metric>` for the mean over the tasks that have it.
        higher: whether more of the metric is better.
        comparison: the paired difference in the metric's own unit, with its tests.
        noise: what the test set's size alone can move the difference by at 95 %, in the same unit; None: not known.
    """

    family: str
    problem: str
    method: str
    minus: str
    metric: str
    higher: bool
    comparison: Comparison
    noise: float | None = None

    @property
    def difference(self) -> Summary:
        return self.comparison.difference

    @property
    def gain(self) -> Summary:
        """The difference turned so that more is better."""
        return self.difference if self.higher else self.difference.turned()

    @property
    def verdict(self) -> str:
        side = side_of(self.difference, self.noise or 0.0, self.comparison.p_holm)
        return side if side in (ALONE, SAME) or self.higher else {BETTER: WORSE, WORSE: BETTER}[side]

    def as_record(self) -> dict[str, Any]:
        """The form that contrasts.json holds; six significant digits, so that the file is stable."""
        names = ("family", "problem", "method", "minus", "metric", "higher")
        noise = None if self.noise is None else significant(self.noise)
        return {n: getattr(self, n) for n in names} | _row(self.comparison) | {
            "noise": noise, "verdict": self.verdict,
        }  # fmt: skip

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Contrast":
        """What `as_record` wrote."""
        names = ("family", "problem", "method", "minus", "metric", "higher", "noise")
        return cls(**{name: record[name] for name in names}, comparison=_comparison(record))


def _row(found: Comparison) -> dict[str, Any]:
    numbers = {
        "mean": found.difference.mean, "sd": found.difference.sd, "low": found.difference.low,
        "high": found.difference.high, "p": found.p, "p_holm": found.p_holm, "effect": found.effect,
        "improved": found.improved, "improved_low": found.improved_interval[0],
        "improved_high": found.improved_interval[1],
    }  # fmt: skip
    rounded = {name: None if value is None else significant(value) for name, value in numbers.items()}
    return {"n": found.difference.n, **rounded, "interval": found.difference.interval}


def _comparison(row: Mapping[str, Any]) -> Comparison:
    summary = Summary(*(row[name] for name in ("n", "mean", "sd", "low", "high", "interval")))
    ends = (row["improved_low"], row["improved_high"])
    return Comparison(summary, row["p"], row["p_holm"], row["effect"], row["improved"], ends)


def side_of(difference: Summary, noise: float = 0.0, p_holm: float | None = None) -> str:
    """`better` above zero, `worse` below it, `same` where it cannot be told, `alone` without an interval."""
    if difference.low is None or difference.high is None:
        return ALONE
    told = not difference.low <= 0.0 <= difference.high and abs(difference.mean) > noise
    if not told or (p_holm is not None and p_holm >= LEVEL):
        return SAME
    return BETTER if difference.mean > 0 else WORSE


def parse(records: Iterable[Mapping[str, Any]]) -> "Contrasts":
    """What `as_record` wrote."""
    return Contrasts(list(map(Contrast.of_record, records)))


class Contrasts:
    """All contrasts, found by what they are of."""

    def __init__(self, found: Sequence[Contrast] = ()):
        self._families: dict[tuple[str, str], list[Contrast]] = {}
        for contrast in found:
            self._families.setdefault((contrast.family, contrast.problem), []).append(contrast)

    def of(self, family: str, problem: str, metric: str | None = None) -> list[Contrast]:
        """Those of one family on one problem, in the order in which they were made; of one metric, where it is given.
        `all` stands for the mean over tasks of the problem's first kind of metric."""
        found = self._families.get((family, problem), [])
        if metric == "all":
            metric = next((c.metric for c in found if c.metric.startswith("all.")), None)
        return [c for c in found if metric in (None, c.metric)]

    def problems(self, family: str) -> list[str]:
        return sorted(problem for name, problem in self._families if name == family)

    def get(self, family: str, problem: str, method: str, minus: str, metric: str = "all") -> Contrast | None:
        """None where the two were not held against each other."""
        found = [c for c in self.of(family, problem, metric) if (c.method, c.minus) == (method, minus)]
        return found[0] if found else None


@dataclasses.dataclass(frozen=True)
class Pair:
    """What a contrast is made of; `differences` is one number a seed."""

    method: str
    minus: str
    differences: Sequence[float]
    noise: float | None = None

    @classmethod
    def of(cls, mine: Line, theirs: Line, metric: str) -> "Pair":
        """Two lines of one problem on one metric, and what their test set can explain."""
        return cls(mine.method, theirs.method, mine.minus(theirs, metric), mine.noise(theirs, metric))


def held(
    family: str, problem: str, metric: str, higher: bool, pairs: Iterable[Pair], corrected: bool
) -> list[Contrast]:
    """Contrasts of one metric, corrected together or each by itself; pairs without a common seed are left out."""
    found = {(pair.method, pair.minus): pair for pair in pairs if len(pair.differences)}
    compared = compare({key: pair.differences for key, pair in found.items()}, higher) if found else {}
    if not corrected:
        compared = {key: dataclasses.replace(entry, p_holm=None) for key, entry in compared.items()}
    return [
        Contrast(family, problem, *key, metric, higher, compared[key], pair.noise) for key, pair in found.items()
    ]  # fmt: skip
