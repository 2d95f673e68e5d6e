"""One line of a problem minus another: the one place where differences are tested.

Seeds pair where both lines share their initial network; where one draws it anew they do not, and the interval is
Welch's. The test examples are in every interval (`statistics`). A contrast is exploratory and uncorrected; `words` has
its verdict.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gradsurgery.evidence.documents import decode, encode
from gradsurgery.evidence.lines import Line, paired
from gradsurgery.evidence.power import detectable
from gradsurgery.evidence.statistics import Summary, examples_variance, significant, summarise, welch
from gradsurgery.evidence.words import effect


@dataclasses.dataclass(frozen=True)
class Contrast:
    """`method` minus `minus` on one metric of one problem.

    Attributes:
        family: the table or figure that it was planned for.
        metric: `<task>.<metric>`, or `all.<metric>` for the mean over the tasks that have it.
        higher: whether more of the metric is better.
        difference: in the metric's own unit.
        budget: what both lines have the same of.
        noise: 95 % half-width of what the test examples add to the difference, in the same unit; None: not known.
        margin: of practical equality, in the same unit; None: the metric has none.
        paired: whether seeds pair.
    """

    family: str
    problem: str
    method: str
    minus: str
    metric: str
    higher: bool
    difference: Summary
    budget: str
    noise: float | None = None
    margin: float | None = None
    paired: bool = True

    @classmethod
    def of(cls, family: str, mine: Line, theirs: Line, metric: str, budget: str | None = None,
           noise: float | None = None) -> "Contrast | None":  # fmt: skip
        """Two lines on one metric; None where they share no seed.

        Raises:
            ValueError: the two had different budgets, and none is named.
        """
        if not set(mine.chosen) & set(theirs.chosen):
            return None
        noise, pairs = noise or mine.noise(theirs, metric), not (mine.redrawn or theirs.redrawn)
        own, other = mine.values(metric), theirs.values(metric)
        apart = (list(own.values()), list(other.values()))
        difference = summarise(paired(own, other), noise or 0.0) if pairs else welch(*apart, noise or 0.0)
        return cls(
            family, mine.run.problem, mine.method, theirs.method, metric, mine.higher(metric), difference,
            budget or mine.budget(theirs), noise, paired=pairs,
        )  # fmt: skip

    @classmethod
    def by_seed(
        cls, family: str, line: Line, minus: str, differences: Sequence[float], noise: float | None,
        higher: bool | None = None,
    ) -> "Contrast":  # fmt: skip
        """A line minus what is another line on every seed, or none, on the mean over tasks."""
        more = line.higher(line.main) if higher is None else higher
        summary = summarise(differences, noise or 0.0)
        return cls(family, line.run.problem, line.method, minus, line.main, more, summary, "equal epochs", noise)

    @property
    def gain(self) -> Summary:
        """The difference turned so that more is better."""
        return self.difference if self.higher else self.difference.turned()

    @property
    def pairing(self) -> str:
        return "paired by seed" if self.paired else "unpaired (the network is drawn anew)"

    @property
    def verdict(self) -> str:
        return effect(self.gain, self.margin)

    @property
    def detectable(self) -> float | None:
        """The least effect that this comparison finds four times of five; None without a spread over seeds."""
        found = self.difference
        return None if found.sd is None else detectable(self.spread, found.n, self.noise or 0.0)

    @property
    def spread(self) -> float:
        """Standard deviation of one seed's difference; of unpaired seeds, of what takes its place."""
        seeds = (self.difference.error or 0.0) ** 2 - examples_variance(self.noise or 0.0)
        return float((max(seeds, 0.0) * self.difference.n) ** 0.5)

    def as_record(self) -> dict[str, Any]:
        """The form that contrasts.json holds; six significant digits, so that the file is stable."""
        found = self.detectable
        said = {"verdict": self.verdict, "detectable": None if found is None else significant(found)}
        return {**encode(self), **said}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Contrast":
        """What `as_record` wrote."""
        return decode(cls, record)


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
