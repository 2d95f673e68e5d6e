"""Published numbers as typed records: one per claim and one per table cell, each with its source and its doubts.

A record says which experiment answers it (`answered_by`) or why none does (`unanswered`), never both and never neither.
`ledger/reading.py` reads them from `data/published/<paper>.yaml`.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from gradsurgery.evidence.pairs import Planned
from gradsurgery.ledger.arithmetic import Table
from gradsurgery.ledger.checks import check_kinds
from gradsurgery.ledger.sections import Declared

ORIGINS = ("paper", "recomputed", "control")
KINDS = ("count", "at_least", "at_most", "difference", "no_difference", "level")


@dataclasses.dataclass(frozen=True)
class Answer:
    """Which of our numbers answers a record: `metric` of `experiment`, less that of `minus` where one is named; a rank
    is that `among` the experiments of the table's rows. `in_force` names the part of the method that the claim is about
    where it acts in every step, and not where the activity of the method is counted."""

    experiment: str
    metric: str
    minus: str | None = None
    among: tuple[str, ...] = ()
    in_force: str | None = None

    def __post_init__(self) -> None:
        check_kinds(self, " of `answered_by`")


@dataclasses.dataclass(frozen=True)
class Record:
    """One published number.

    Attributes:
        id: `<paper>/<claim>` or `<paper>/<table>/<row>/<metric>`.
        version: which text of the paper the number was read in.
        short: the claim in a few words, for a cell of the overview; a headline has them.
        kind: how ours is held against it: an exact `count`, a bound, a `difference` of two methods, `no_difference`
            (the paper says that there is none in `direction`), or a `level`.
        direction: `higher` or `lower` is better (or is claimed, or denied), None where it makes no sense.
        spread, spread_kind: what is printed after the plus-minus sign, and what the paper says that it is.
        value: None for a claim without a number; only a difference may have none.
        margin: of a cell, the published value less that of the row that its table calls the baseline.
        origin: `paper`; `recomputed` for a claim of the paper's whose value it does not print: computed from what it
            prints or draws; `control` for a claim of ours, with the value of the paper's that it controls.
        seeds, selection: what the paper says, None where it says nothing.
        twin: how the experiment that answers it differs from the published one in kind, not only in scale.
        doubtful: what speaks against the number, in words; None when nothing is known to.
    """

    id: str
    paper: str
    version: str
    cell: str
    statement: str
    short: str | None
    task: str
    metric: str
    direction: str | None
    kind: str
    value: float | None
    spread: float | None
    spread_kind: str | None
    margin: float | None
    seeds: int | None
    selection: str | None
    data: str
    network: str
    origin: str
    twin: str | None
    doubtful: str | None
    answered_by: Answer | None
    unanswered: str | None
    headline: bool

    def __post_init__(self) -> None:
        check_kinds(self, f" of {self.id}")
        if self.kind not in KINDS:
            raise ValueError(f"`kind` of {self.id} must be one of {', '.join(KINDS)}, found {self.kind!r}.")
        if self.direction not in ("higher", "lower", None):
            raise ValueError(f"`direction` of {self.id} must be higher, lower or null, found {self.direction!r}.")
        if self.seeds is not None and self.seeds < 1:
            raise ValueError(f"`seeds` of {self.id} must be at least 1 or null, found {self.seeds}.")
        if self.origin not in ORIGINS:
            raise ValueError(f"`origin` of {self.id} must be one of {', '.join(ORIGINS)}, found {self.origin!r}.")
        compared = self.kind in ("difference", "no_difference")
        if compared and (self.direction is None or (self.answered_by and not self.answered_by.minus)):
            raise ValueError(f"`answered_by.minus` and `direction` of {self.id} must be given for a difference.")
        if self.value is None and not compared:
            raise ValueError(f"`value` of {self.id} must be a number, found null; only a difference may have none.")
        if (self.answered_by is None) == (self.unanswered is None):
            raise ValueError(f"`answered_by` or `unanswered` of {self.id} must be given, and not both.")
        if self.headline and not self.short:
            raise ValueError(f"`short` of {self.id} must be given, as it is a headline.")
        if self.spread is not None and self.spread < 0:
            raise ValueError(f"`spread` of {self.id} must be at least 0, found {self.spread:g}.")
        if (self.spread is None) != (self.spread_kind is None):
            raise ValueError(f"`spread` and `spread_kind` of {self.id} must be given together.")


@dataclasses.dataclass(frozen=True)
class Paper:
    """One paper with all its records, the comparisons that our lines are put to for it, and its section."""

    key: str
    title: str
    authors: str
    year: int
    arxiv: str
    version: str
    records: tuple[Record, ...]
    tables: tuple[Table, ...]
    contrasts: tuple[Planned, ...] = ()
    section: Declared | None = None

    def __post_init__(self) -> None:
        check_kinds(self, " of `paper`")
        if not 1900 <= self.year <= 2100:
            raise ValueError(f"`year` of {self.key} must be a year, found {self.year}.")


def check_provenance(papers: Sequence[Paper], declared: Iterable[str]) -> None:
    """Refuses a record that says it is answered by an experiment which is not there.

    Args:
        papers: the ledger.
        declared: the names of all experiments of the table.

    Raises:
        ValueError: naming the first such record.
    """
    names = set(declared)
    for record in (record for paper in papers for record in paper.records if record.answered_by):
        answer = record.answered_by
        assert answer is not None
        for name in filter(None, (answer.experiment, answer.minus, *answer.among)):
            if name not in names:
                raise ValueError(f"`answered_by` of {record.id} must name an experiment of the table, found {name!r}.")
