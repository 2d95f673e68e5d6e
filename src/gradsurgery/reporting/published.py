"""Published numbers as typed records: one per claim and one per table cell, each with its source and its doubts.

`data/published/<paper>.yaml` holds claims one by one and tables as grids; `read` turns both into `Record`s. A record
says which experiment answers it (`answered_by`) or why none does (`unanswered`), never both and never neither.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gradsurgery.core.metrics import delta_m_metric

KINDS = ("count", "at_least", "at_most", "difference", "level")


@dataclasses.dataclass(frozen=True)
class Answer:
    """Which of our numbers answers a record: `metric` of `experiment`, less that of `minus` where one is named."""

    experiment: str
    metric: str
    minus: str | None = None


@dataclasses.dataclass(frozen=True)
class Record:
    """One published number.

    Attributes:
        id: `<paper>/<claim>` or `<paper>/<table>/<row>/<metric>`.
        kind: how ours is held against it: an exact `count`, a bound, a `difference` of two methods, or a `level`.
        direction: `higher` or `lower` is better (or is claimed), None where it makes no sense.
        origin: `paper`, or `recomputed` for a value that the paper only draws and that was computed for the spec.
        seeds, selection: what the paper says, None where it says nothing.
        doubtful: what speaks against the number, in words; None when nothing is known to.
    """

    id: str
    paper: str
    cell: str
    statement: str
    task: str
    metric: str
    direction: str | None
    kind: str
    value: float
    seeds: int | None
    selection: str | None
    data: str
    network: str
    origin: str
    doubtful: str | None
    answered_by: Answer | None
    unanswered: str | None
    headline: bool

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"`kind` of {self.id} must be one of {', '.join(KINDS)}, found {self.kind!r}.")
        if self.direction not in ("higher", "lower", None):
            raise ValueError(f"`direction` of {self.id} must be higher, lower or null, found {self.direction!r}.")
        if self.origin not in ("paper", "recomputed"):
            raise ValueError(f"`origin` of {self.id} must be paper or recomputed, found {self.origin!r}.")
        if self.kind == "difference" and (self.direction is None or (self.answered_by and not self.answered_by.minus)):
            raise ValueError(f"`answered_by.minus` and `direction` of {self.id} must be given for a difference.")
        if (self.answered_by is None) == (self.unanswered is None):
            raise ValueError(f"`answered_by` or `unanswered` of {self.id} must be given, and not both.")


@dataclasses.dataclass(frozen=True)
class Table:
    """A printed table: its rows as metrics, the Delta-m printed beside them, and the doubts about each row."""

    id: str
    metrics: Mapping[str, bool]
    rows: Mapping[str, Mapping[str, float]]
    base: str | None
    printed: Mapping[str, float]
    tolerance: float
    doubtful: Mapping[str, str]
    rank_sum: int | None

    def recomputed(self) -> dict[str, float]:
        """Delta-m of every row that prints one, from the row's own metrics and the table's own base."""
        if self.base is None:
            return {}
        return {row: delta_m_metric(self.rows[row], self.rows[self.base], self.metrics) for row in self.printed}

    def disagreements(self) -> dict[str, float]:
        """Rows whose recomputed Delta-m lies further from the printed one than rounding explains."""
        return {row: v for row, v in self.recomputed().items() if abs(v - self.printed[row]) > self.tolerance}


@dataclasses.dataclass(frozen=True)
class Paper:
    """One paper with all its records."""

    key: str
    title: str
    authors: str
    year: int
    arxiv: str
    records: tuple[Record, ...]
    tables: tuple[Table, ...]


def read(document: Mapping[str, Any]) -> Paper:
    """The paper of one YAML document. Raises ValueError for an unknown, missing or wrong field and a repeated id."""
    key = document["paper"]["key"]
    records = [_claim(key, entry) for entry in document["claims"]]
    tables = []
    for entry in document["tables"]:
        tables.append(_table(key, entry))
        records += _cells(key, entry)
    ids = [record.id for record in records]
    repeated = sorted({i for i in ids if ids.count(i) > 1})
    if repeated:
        raise ValueError(f"`id` must be unique within a paper, found {repeated[0]} twice.")
    return Paper(**document["paper"], records=tuple(records), tables=tuple(tables))


def _claim(key: str, entry: Mapping[str, Any]) -> Record:
    optional = {"origin": "paper", "doubtful": None, "unanswered": None, "answered_by": None}
    fields = {**optional, **entry, "id": f"{key}/{entry.get('id')}", "paper": key}
    known = {field.name for field in dataclasses.fields(Record)}
    for wrong in sorted(set(fields) ^ known):
        raise ValueError(f"`{wrong}` of {fields['id']} must be {'given' if wrong in known else 'a known field'}.")
    if fields["answered_by"] is not None:
        fields["answered_by"] = Answer(**fields["answered_by"])
    return Record(**{**fields, "value": _number(fields["value"], fields["id"])})


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"`value` of {where} must be a number, found {value!r}.")
    return float(value)


def _table(key: str, entry: Mapping[str, Any]) -> Table:
    return Table(
        id=f"{key}/{entry['id']}",
        metrics={name: direction == "higher" for name, direction in entry["metrics"].items()},
        rows={row: _row(key, entry, row) for row in entry["rows"]},
        base=entry.get("base"),
        printed={row: float(cells["delta_m"]) for row, cells in entry["rows"].items() if "delta_m" in cells},
        tolerance=entry.get("delta_m_tolerance", 0.1),
        doubtful={row: cells["doubtful"] for row, cells in entry["rows"].items() if "doubtful" in cells},
        rank_sum=entry.get("rank_sum"),
    )


def _row(key: str, entry: Mapping[str, Any], row: str) -> dict[str, float]:
    where, values = f"{key}/{entry['id']}/{row}", entry["rows"][row]["values"]
    if len(values) != len(entry["metrics"]):
        raise ValueError(f"`values` of {where} must have {len(entry['metrics'])} numbers, found {len(values)}.")
    return {name: _number(value, where) for name, value in zip(entry["metrics"], values, strict=True)}


def _cells(key: str, entry: Mapping[str, Any]) -> list[Record]:
    records = []
    for row, cells in entry["rows"].items():
        values = _row(key, entry, row)
        directions = dict(entry["metrics"])
        if "delta_m" in cells:
            values["all.delta_m"], directions["all.delta_m"] = float(cells["delta_m"]), "lower"
        for name, value in values.items():
            task, metric = name.split(".", 1)
            records.append(
                Record(
                    id=f"{key}/{entry['id']}/{row}/{name}", paper=key, cell=f"{entry['cell']}, row {row}",
                    statement=f"{row}: {metric} of {task} on {entry['data']}", task=task, metric=metric,
                    direction=directions[name], kind="level", value=value, seeds=entry["seeds"],
                    selection=entry["selection"], data=entry["data"], network=entry["network"], origin="paper",
                    doubtful=cells.get("doubtful", entry.get("doubtful")), answered_by=None,
                    unanswered=entry["unanswered"], headline=False,
                )
            )  # fmt: skip
    return records
