"""Where the lines of one table problem stand: their AUCs, and each against MMoE, paired by seed."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.noise import metric_noise
from gradsurgery.evidence.selection import select
from gradsurgery.evidence.statistics import Comparison, Summary, compare, summarise
from gradsurgery.report.section import Evidence
from gradsurgery.report.style import label

BASE = "sum"  # MMoE with the summed loss
UNIT = 1e-4  # of differences of AUCs

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
        compared: by metric and method, against MMoE. Networks are corrected for together, so are classical models.
        noise: likewise, what the test set's size alone can move that difference by; 0 where it is not known.
        printed: rows of the published table; none where there is none or the records were not handed in.
    """

    problem: str
    lines: Mapping[str, Sequence[Run]]
    levels: Mapping[str, Mapping[str, Summary]]
    compared: Mapping[str, Mapping[str, Comparison]]
    noise: Mapping[str, Mapping[str, float]]
    printed: Mapping[str, Mapping[str, float]]

    @property
    def metrics(self) -> list[str]:
        return list(self.levels)

    @property
    def correlation(self) -> float:
        """Of the labels of a made-up table, as realised."""
        return float(self.lines[BASE][0].epochs[-1]["test.labels.correlation"])

    def apart(self, metric: str) -> dict[str, Comparison]:
        """Lines that differ from MMoE beyond seeds and test set."""
        compared = self.compared[metric]
        return {m: found for m, found in compared.items() if found.separates(self.noise[metric][m])}

    def best_first(self) -> list[str]:
        """Lines that answer for the first metric, then the others."""
        first = self.levels[self.metrics[0]]
        order = sorted(first, key=lambda method: -first[method].mean)
        return [*order, *(method for method in self.lines if method not in first)]

    def theirs(self, method: str, metric: str) -> float | None:
        """What the paper prints for the line."""
        return self.printed.get(PUBLISHED.get(method, ""), {}).get(metric)

    def coarse(self, evidence: Evidence, method: str, metric: str) -> float | None:
        """Mean AUC at 200 thresholds, as DRGrad's code takes it, in the epochs that were selected."""
        values = []
        for run in self.lines[method]:
            chosen = select(run, evidence.metrics[run.experiment]["selection"]).get(metric)
            rows = [e for e in run.epochs if e[f"test.{metric}"] == chosen and f"test.{metric}_200" in e]
            values += [float(row[f"test.{metric}_200"]) for row in rows[:1]]
        return float(np.mean(values)) if values else None


def standing(evidence: Evidence, problem: str) -> Standing | None:
    """None where MMoE was not run on the problem."""
    lines = {runs[0].method: runs for _, runs in sorted(evidence.groups.items()) if runs[0].problem == problem}
    if BASE not in lines:
        return None
    levels: dict[str, dict[str, Summary]] = {}
    compared: dict[str, dict[str, Comparison]] = {}
    noise: dict[str, dict[str, float]] = {}
    for metric in lines[BASE][0].metrics:
        values = {m: _values(evidence, runs, metric) for m, runs in lines.items() if metric in runs[0].own_metrics}
        levels[metric] = {method: summarise(list(by_seed.values())) for method, by_seed in values.items()}
        compared[metric] = {}
        for classical in (False, True):
            rivals = [m for m in values if m != BASE and is_classical(lines[m]) == classical]
            shared = {m: sorted(set(values[m]) & set(values[BASE])) for m in rivals}
            differences = {m: [values[m][s] - values[BASE][s] for s in seeds] for m, seeds in shared.items() if seeds}
            compared[metric] |= compare(differences)
        run, means = lines[BASE][0], {method: summary.mean for method, summary in levels[metric].items()}
        noise[metric] = {m: metric_noise(run, metric, means[m], means[BASE]) or 0.0 for m in compared[metric]}
    tables = evidence.papers["drgrad"].tables if "drgrad" in evidence.papers else ()
    printed = {table.id: table.rows for table in tables}.get(_TABLES.get(problem, ""), {})
    return Standing(problem, lines, levels, compared, noise, printed)


def _values(evidence: Evidence, runs: Sequence[Run], metric: str) -> dict[int, float]:
    rule = evidence.metrics[runs[0].experiment]["selection"]
    return {run.seed: select(run, rule)[metric] for run in runs}


def is_classical(runs: Sequence[Run]) -> bool:
    """Whether the line is a model of the floor and no network."""
    return bool(runs[0].declaration["rule"]["name"] == "floor")


def name(method: str) -> str:
    return _NAMES.get(method, label(method))


def task(metric: str) -> str:
    """`never_married.auc` -> `never married`."""
    return metric.split(".")[0].replace("_", " ")


def say(summary: Summary | None, digits: int = 4) -> str:
    """Mean and interval, or the bare mean of a single repeat."""
    if summary is None:
        return "-"
    text = f"{summary.mean:.{digits}f}"
    if summary.low is None or summary.high is None:
        return text
    return f"{text} [{summary.low:.{digits}f}, {summary.high:.{digits}f}]"


def gain(comparison: Comparison | None) -> str:
    """A difference of AUCs and its interval, in units of 1e-4."""
    if comparison is None:
        return "-"
    found = comparison.difference
    text = f"{found.mean / UNIT:+.1f}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{found.low / UNIT:+.1f}, {found.high / UNIT:+.1f}]"


def chance(noise: float | None) -> str:
    """What the test set alone explains of a difference, in units of 1e-4."""
    return f"{noise / UNIT:.1f}" if noise else "-"
