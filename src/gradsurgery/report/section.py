"""What one section of the report holds. Blocks and modules of `report/papers` make it; the page lays it out."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from gradsurgery.evidence.contrasts import Contrasts
from gradsurgery.evidence.evaluation import Measured
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.study import Trial
from gradsurgery.ledger.records import Paper
from gradsurgery.ledger.sections import Declared


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Everything a section may read, keyed by experiment; published numbers by paper; studies by problem.

    Attributes:
        contrasts, measured: what `evaluate` wrote; no section computes a difference of its own.
    """

    groups: Mapping[str, Sequence[Run]]
    metrics: Mapping[str, Mapping[str, Any]]
    costs: Mapping[str, Mapping[str, Any]]
    papers: Mapping[str, Paper] = dataclasses.field(default_factory=dict)
    studies: Mapping[str, Sequence[Trial]] = dataclasses.field(default_factory=dict)
    contrasts: Contrasts = dataclasses.field(default_factory=Contrasts)
    measured: Measured = dataclasses.field(default_factory=Measured)


def declared(evidence: Evidence, key: str) -> Declared:
    """What a paper declares of its section. Raises ValueError where it declares none."""
    paper = evidence.papers.get(key)
    if paper is None or paper.section is None:
        raise ValueError(f"`section` of {key} must be given in its published record, found none.")
    return paper.section


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure; `name` is its file under reports/figures and starts with the paper's key."""

    name: str
    figure: Figure
    caption: str


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A table; `name` is its file under reports/tables and starts with the paper's key."""

    name: str
    title: str
    frame: pd.DataFrame


@dataclasses.dataclass(frozen=True)
class Section:
    """One paper at the scale that was run.

    Attributes:
        claim: what the paper says its method does, in one or two sentences.
        ran: data, network, scale, track, epochs, seeds behind what follows, in one or two sentences.
        found: one plain sentence, for or against the claim, made from the numbers and no stronger than they are.
        drawings: the figures, the one that decides first.
        sheets: the tables; every number with its interval and n.
        brief: `found` in a line, for the summary of the page, where no claim with a verdict stands for the section.
    """

    claim: str
    ran: str
    found: str
    drawings: Sequence[Drawing] = ()
    sheets: Sequence[Sheet] = ()
    brief: str = ""
