"""Where the lines of one table problem stand: their AUCs, and each against MMoE, paired by seed."""

import dataclasses
from collections.abc import Mapping, Sequence

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.groups import of
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.measures import Measure, measure
from gradsurgery.evidence.statistics import Summary
from gradsurgery.evidence.words import BETTER, WORSE
from gradsurgery.report.section import Evidence
from gradsurgery.report.style import label
from gradsurgery.report.tables import summary_of

BASE = "sum"  # MMoE with the summed loss
UNIT = 1e-4  # of differences of AUCs
GAIN = Measure("AUC", 1.0 / UNIT, 1, "1e-4", "1e-4")

_NAMES = {
    "sum": "MMoE (summed loss)", "shared_bottom": "shared bottom", "omoe": "OMoE", "ple": "PLE", "split": "Split-MMoE",
    "split-ppnet": "Split-MMoE, PPNet", "drgrad-printed": "DRGrad, as printed", "drgrad-matched": "DRGrad, matched",
    "drgrad-mean": "DRGrad, matched, mean updater", "drgrad-frozen": "DRGrad, matched, no updater",
    "drgrad-matched-ppnet": "DRGrad, matched, PPNet", "drgrad_code": "DRGrad, released code",
    "floor-logistic": "logistic regression", "floor-trees": "boosted trees",
}  # fmt: skip
# Our lines under the names of the published tables.
PUBLISHED = {
    "sum": "MMoE", "split": "Split-MMoE", "ple": "PLE", "pcgrad": "PCGrad", "cagrad-c0_5": "CAGrad",
    "drgrad-printed": "DRGrad", "drgrad-matched": "DRGrad", "drgrad_code": "DRGrad",
}  # fmt: skip
# Where the paper prints what a problem is about.
_TABLES = {
    "census": "drgrad/table-3-census", "drgrad_synthetic_cooperate": "drgrad/table-2-cooperative",
    "drgrad_synthetic_conflict": "drgrad/table-2-conflict",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Standing:
    """One problem.

    Attributes:
        lines: runs by method.
        levels: by metric and method, over seeds, under the problem's selection rule; single-task lines have one metric.
        compared: by metric and method, against MMoE.
        printed: rows of the published table; none where there is none or the records were not handed in.
    """

    problem: str
    lines: Mapping[str, Sequence[Run]]
    levels: Mapping[str, Mapping[str, Summary]]
    compared: Mapping[str, Mapping[str, Contrast]]
    printed: Mapping[str, Mapping[str, float]]

    @property
    def metrics(self) -> list[str]:
        return list(self.levels)

    @property
    def correlation(self) -> float:
        """Of the labels of a made-up table, as realised."""
        return float(self.lines[BASE][0].epochs[-1]["test.labels.correlation"])

    def apart(self, metric: str) -> dict[str, Contrast]:
        """Lines that differ from MMoE beyond seeds and test set."""
        return {m: found for m, found in self.compared[metric].items() if found.verdict in (BETTER, WORSE)}

    def best_first(self) -> list[str]:
        """Lines that answer for the first metric, then the others."""
        first = self.levels[self.metrics[0]]
        order = sorted(first, key=lambda method: -first[method].mean)
        return [*order, *(method for method in self.lines if method not in first)]

    def theirs(self, method: str, metric: str) -> float | None:
        """What the paper prints for the line."""
        return self.printed.get(PUBLISHED.get(method, ""), {}).get(metric)


def standing(evidence: Evidence, problem: str) -> Standing | None:
    """None where MMoE was not run on the problem."""
    lines = of(evidence.groups, problem)
    if BASE not in lines:
        return None
    levels: dict[str, dict[str, Summary]] = {}
    compared = {}
    for metric in lines[BASE][0].metrics:
        found = {m: summary_of(evidence.metrics[runs[0].experiment].get(metric)) for m, runs in lines.items()}
        levels[metric] = {m: level for m, level in found.items() if level is not None}
        compared[metric] = {c.method: c for c in evidence.contrasts.of("tables", problem, metric)}
    tables = evidence.papers["drgrad"].tables if "drgrad" in evidence.papers else ()
    printed = {table.id: table.rows for table in tables}.get(_TABLES.get(problem, ""), {})
    return Standing(problem, lines, levels, compared, printed)


def is_classical(runs: Sequence[Run]) -> bool:
    """Whether the line is a model of the floor and no network."""
    return runs[0].role.kind == "floor"


def name(method: str) -> str:
    return _NAMES.get(method, label(method))


def task(metric: str) -> str:
    """`never_married.auc` -> `never married`."""
    return metric.split(".")[0].replace("_", " ")


def say(summary: Summary | None) -> str:
    """An AUC and its interval."""
    return measure("auc").say(summary)


def gain(found: Contrast | None) -> str:
    """A difference of AUCs and its interval, in units of 1e-4."""
    return GAIN.say(found.difference if found else None, signed=True)
