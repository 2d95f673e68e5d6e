"""What one section of the report holds. Blocks and modules of `report/papers` make it; the page lays it out."""

import dataclasses
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from gradsurgery.ledger.sections import Declared
from gradsurgery.report.sources import Sources


def declared(sources: Sources, key: str) -> Declared:
    """What a paper declares of its section. Raises ValueError where it declares none."""
    found = next((paper.section for paper in sources.papers if paper.key == key), None)
    if found is None:
        raise ValueError(f"`section` of {key} must be given in its published record, found none.")
    return found


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
