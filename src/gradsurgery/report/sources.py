"""What the site is made from, and what comes out."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.evidence.contrasts import Contrasts
from gradsurgery.evidence.evaluation import Measured
from gradsurgery.evidence.groups import Groups, Metrics, landscape, problems
from gradsurgery.evidence.study import Trial
from gradsurgery.ledger.findings import Finding
from gradsurgery.ledger.protocol import Protocol
from gradsurgery.ledger.records import Paper


@dataclasses.dataclass(frozen=True)
class Sources:
    """Everything that the site is made from.

    Attributes:
        groups, metrics, costs: by experiment.
        papers: the published records.
        datasets, declared: `datasets` and `problems` of params.yaml.
        studies: the trials of `make study`, by problem.
        contrasts, measured, findings: what `evaluate` made of it all.
        places: the files under `reports/` that names of links stand for, where they are not the names themselves.
        others: the runs of other scales, and what `evaluate` made of them, by scale, the longest last.
        protocol: what was registered; `there` seeds of each registered claim were run, `changed` was listed since.
        skipped: the problems whose committed runs stand here because this machine had no data to rerun them.
    """

    groups: Groups
    metrics: Metrics
    costs: Mapping[str, Mapping[str, Any]]
    papers: Sequence[Paper]
    datasets: Mapping[str, Mapping[str, Any]]
    declared: Mapping[str, Mapping[str, Any]]
    studies: Mapping[str, Sequence[Trial]] = dataclasses.field(default_factory=dict)
    skipped: Sequence[str] = ()
    contrasts: Contrasts = dataclasses.field(default_factory=Contrasts)
    measured: Measured = dataclasses.field(default_factory=Measured)
    findings: Mapping[str, Sequence[Finding]] = dataclasses.field(default_factory=dict)
    places: Mapping[str, str] = dataclasses.field(default_factory=dict)
    others: Mapping[str, "Sources"] = dataclasses.field(default_factory=dict)
    protocol: Protocol | None = None
    there: Mapping[str, int] = dataclasses.field(default_factory=dict)
    changed: Sequence[Mapping[str, str]] = ()

    @property
    def problems(self) -> list[str]:
        return problems(self.groups)

    @property
    def landscapes(self) -> list[str]:
        """The problems without data and without a test set."""
        return [problem for problem in self.problems if landscape(self.groups, problem)]

    @property
    def data(self) -> list[str]:
        """The problems with data."""
        return [problem for problem in self.problems if problem not in self.landscapes]

    @property
    def elsewhere(self) -> dict[str, "Sources"]:
        """The problems with data that only other scales have, each with the sources of the longest that does."""
        return {p: other for other in self.others.values() for p in other.data if p not in self.problems}


@dataclasses.dataclass(frozen=True)
class Report:
    """The finished files by their name under `reports/`, and the headline findings for the README."""

    files: Mapping[str, bytes]
    headlines: Sequence[Finding]
