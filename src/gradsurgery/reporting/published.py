"""Published numbers as typed records: one per claim and one per table cell, each with its source and its doubts.

`data/published/<paper>.yaml` holds claims one by one and tables as grids; `read` turns both into `Record`s. A record
says which experiment answers it (`answered_by`) or why none does (`unanswered`), never both and never neither. What a
table lets us recompute is recomputed on the way in, and every disagreement becomes part of its records' doubts.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gradsurgery.core.metrics import delta_m_metric, delta_m_task

KINDS = ("count", "at_least", "at_most", "difference", "no_difference", "level")
_COPIED = 3  # so many equal cells in a row at the end of two rows are a copy and no coincidence
_RANKED = 5  # fewer numbers may add up to n (n + 1) / 2 by chance


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
        version: which text of the paper the number was read in.
        kind: how ours is held against it: an exact `count`, a bound, a `difference` of two methods, `no_difference`
            (the paper says that there is none in `direction`), or a `level`.
        direction: `higher` or `lower` is better (or is claimed, or denied), None where it makes no sense.
        spread, spread_kind: what is printed after the plus-minus sign, and what the paper says that it is.
        value: None for a claim without a number; only a difference may have none.
        margin: of a cell, the published value less that of the row that its table calls the baseline.
        origin: `paper`, or `recomputed` for a value that the paper does not print: computed from what it prints or
            draws, or a control of ours.
        seeds, selection: what the paper says, None where it says nothing.
        twin: how the experiment that answers it differs from the published one in kind, not only in scale.
        doubtful: what speaks against the number, in words; None when nothing is known to.
    """

    id: str
    paper: str
    version: str
    cell: str
    statement: str
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
        if self.kind not in KINDS:
            raise ValueError(f"`kind` of {self.id} must be one of {', '.join(KINDS)}, found {self.kind!r}.")
        if self.direction not in ("higher", "lower", None):
            raise ValueError(f"`direction` of {self.id} must be higher, lower or null, found {self.direction!r}.")
        if self.origin not in ("paper", "recomputed"):
            raise ValueError(f"`origin` of {self.id} must be paper or recomputed, found {self.origin!r}.")
        compared = self.kind in ("difference", "no_difference")
        if compared and (self.direction is None or (self.answered_by and not self.answered_by.minus)):
            raise ValueError(f"`answered_by.minus` and `direction` of {self.id} must be given for a difference.")
        if self.value is None and not compared:
            raise ValueError(f"`value` of {self.id} must be a number, found null; only a difference may have none.")
        if (self.answered_by is None) == (self.unanswered is None):
            raise ValueError(f"`answered_by` or `unanswered` of {self.id} must be given, and not both.")
        if (self.spread is None) != (self.spread_kind is None):
            raise ValueError(f"`spread` and `spread_kind` of {self.id} must be given together.")


@dataclasses.dataclass(frozen=True)
class Table:
    """A printed table: its rows as metrics, the Delta-m printed beside them, and the doubts about each row.

    Attributes:
        metrics: the columns that Delta-m is made of, and whether higher is better.
        also: further columns, by row.
        over: whether its Delta-m averages over `metrics` or over `tasks` first.
        higher_is_better: the sign of its Delta-m.
    """

    id: str
    metrics: Mapping[str, bool]
    rows: Mapping[str, Mapping[str, float]]
    also: Mapping[str, Mapping[str, float]]
    base: str | None
    over: str
    higher_is_better: bool
    printed: Mapping[str, float]
    tolerance: float
    doubtful: Mapping[str, str]

    def recomputed(self) -> dict[str, float]:
        """Delta-m of every row that prints one, from the row's own metrics and the table's own base."""
        if self.base is None:
            return {}
        sign, delta_m = -1.0 if self.higher_is_better else 1.0, delta_m_task if self.over == "tasks" else delta_m_metric
        base, whole = self.rows[self.base], [row for row in self.printed if set(self.rows[row]) == set(self.metrics)]
        return {row: sign * delta_m(self.rows[row], base, self.metrics) for row in whole}

    def disagreements(self) -> dict[str, float]:
        """Rows whose recomputed Delta-m lies further from the printed one than rounding explains."""
        return {row: v for row, v in self.recomputed().items() if abs(v - self.printed[row]) > self.tolerance}

    def copies(self) -> dict[str, str]:
        """Rows that end in the same numbers as an earlier row of the table, as `row: earlier row`."""
        cells = {
            row: [*values.values(), *([self.printed[row]] if row in self.printed else [])]
            for row, values in self.rows.items()
        }
        found, names = {}, list(cells)
        for place, row in enumerate(names):
            for earlier in names[:place]:
                if len(cells[row]) > _COPIED and cells[row][-_COPIED:] == cells[earlier][-_COPIED:]:
                    found[row] = earlier
        return found

    def disguised_ranks(self) -> list[str]:
        """First rows of a column headed Delta-m that add up exactly as mean ranks among themselves must."""
        column = {row: cells["all.delta_m"] for row, cells in self.rows.items() if "all.delta_m" in cells}
        found: list[str] = []
        for n in range(_RANKED, len(column) + 1):
            values = list(column.values())[:n]
            if abs(sum(values) - n * (n + 1) / 2) < 0.005 * n**0.5 and min(values) >= 1 and max(values) <= n:
                found = list(column)[:n]
        return found

    def rank_sum(self) -> tuple[float, float] | None:
        """Sum of the printed mean ranks, and what mean ranks of so many rows must sum to; None without the column."""
        ranks = [cells["all.mean_rank"] for cells in self.also.values() if "all.mean_rank" in cells]
        return (sum(ranks), len(ranks) * (len(ranks) + 1) / 2) if ranks else None

    def flaws(self) -> dict[str, str]:
        """By row, what recomputing the table speaks against: its Delta-m, and numbers copied from another row."""
        wrong = self.disagreements()
        found = {row: f"prints Delta-m {self.printed[row]:g}, its own metrics give {v:.2f}" for row, v in wrong.items()}
        for row, earlier in self.copies().items():
            text = f"ends in the same numbers as row {earlier}"
            found[row] = f"{found[row]}; {text}" if row in found else text
        return found

    def column_flaws(self) -> dict[str, tuple[Sequence[str], str]]:
        """By column, the rows and what is wrong with it: ranks under the heading Delta-m, ranks that miss their sum."""
        found: dict[str, tuple[Sequence[str], str]] = {}
        if rows := self.disguised_ranks():
            n = len(rows)
            text = f"the first {n} numbers of this Delta-m column sum to {n} x {n + 1} / 2, as mean ranks must"
            found["all.delta_m"] = (rows, text)
        ranked = [row for row, cells in self.also.items() if "all.mean_rank" in cells]
        sums = self.rank_sum()
        if sums is not None and abs(sums[0] - sums[1]) > 0.05 * len(ranked):  # printed to one decimal
            text = (
                f"the mean ranks of this column sum to {sums[0]:g}, those of {len(ranked)} rows must sum to {sums[1]:g}"
            )
            found["all.mean_rank"] = (ranked, text)
        return found


@dataclasses.dataclass(frozen=True)
class Paper:
    """One paper with all its records."""

    key: str
    title: str
    authors: str
    year: int
    arxiv: str
    version: str
    records: tuple[Record, ...]
    tables: tuple[Table, ...]


def read(document: Mapping[str, Any]) -> Paper:
    """The paper of one YAML document. Raises ValueError for an unknown, missing or wrong field and a repeated id."""
    source = document["paper"]
    records = [_claim(source, entry) for entry in document["claims"]]
    tables = []
    for entry in document["tables"]:
        tables.append(_table(source["key"], entry))
        records += _cells(source, entry, tables[-1])
    ids = [record.id for record in records]
    repeated = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
    if repeated:
        raise ValueError(f"`id` must be unique within a paper, found {repeated[0]} twice.")
    return Paper(**source, records=tuple(records), tables=tuple(tables))


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
        for name in filter(None, (answer.experiment, answer.minus)):
            if name not in names:
                raise ValueError(f"`answered_by` of {record.id} must name an experiment of the table, found {name!r}.")


_OPTIONAL = {
    "origin": "paper", "spread": None, "spread_kind": None, "margin": None, "twin": None, "doubtful": None,
    "unanswered": None, "answered_by": None,
}  # fmt: skip


def _claim(source: Mapping[str, Any], entry: Mapping[str, Any]) -> Record:
    key = source["key"]
    fields = {**_OPTIONAL, **entry, "id": f"{key}/{entry.get('id')}", "paper": key, "version": source["version"]}
    known = {field.name for field in dataclasses.fields(Record)}
    for wrong in sorted(set(fields) ^ known):
        raise ValueError(f"`{wrong}` of {fields['id']} must be {'given' if wrong in known else 'a known field'}.")
    if fields["answered_by"] is not None:
        fields["answered_by"] = Answer(**fields["answered_by"])
    if fields["value"] is not None:
        fields["value"] = _number(fields["value"], fields["id"])
    return Record(**fields)


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"`value` of {where} must be a number, found {value!r}.")
    return float(value)


_TABLE = {"id", "cell", "data", "network", "seeds", "selection", "metrics", "unanswered", "rows"}
_TABLE_OPTIONAL = {
    "also", "base", "baseline", "delta_m", "delta_m_tolerance", "doubtful", "origin", "spread_kind", "twin"
}  # fmt: skip
_ROW_OPTIONAL = {"also", "delta_m", "doubtful", "experiment", "spread"}


def _table(key: str, entry: Mapping[str, Any]) -> Table:
    where = f"{key}/{entry.get('id')}"
    _fields(where, entry, _TABLE, _TABLE_OPTIONAL)
    for row, cells in entry["rows"].items():
        _fields(f"{where}/{row}", cells, {"values"}, _ROW_OPTIONAL)
    for name in ("base", "baseline"):
        if name in entry and entry[name] not in entry["rows"]:
            raise ValueError(f"`{name}` of {where} must be one of its rows, found {entry[name]!r}.")
    convention = entry.get("delta_m", {"over": "metrics", "better": "lower"})
    return Table(
        id=where,
        metrics={name: direction == "higher" for name, direction in entry["metrics"].items()},
        rows={row: _row(where, entry, row, "values", "metrics") for row in entry["rows"]},
        also={row: _row(where, entry, row, "also", "also") for row in entry["rows"]},
        base=entry.get("base"),
        over=convention["over"],
        higher_is_better=convention["better"] == "higher",
        printed={row: float(cells["delta_m"]) for row, cells in entry["rows"].items() if "delta_m" in cells},
        tolerance=entry.get("delta_m_tolerance", 0.1),
        doubtful={row: cells["doubtful"] for row, cells in entry["rows"].items() if "doubtful" in cells},
    )


def _fields(where: str, found: Mapping[str, Any], required: set[str], optional: set[str]) -> None:
    for name in sorted(required - set(found)):
        raise ValueError(f"`{name}` of {where} must be given.")
    for name in sorted(set(found) - required - optional):
        raise ValueError(f"`{name}` of {where} must be a known field.")


def _row(where: str, entry: Mapping[str, Any], row: str, cells: str, columns: str) -> dict[str, float]:
    """One row under the names of its columns; a cell that the paper leaves empty (null) is left out."""
    if cells not in entry["rows"][row]:
        return {}
    names, values = entry.get(columns, {}), entry["rows"][row][cells]
    if len(values) != len(names):
        raise ValueError(f"`{cells}` of {where}/{row} must have {len(names)} numbers, found {len(values)}.")
    pairs = zip(names, values, strict=True)
    return {name: _number(value, f"{where}/{row}") for name, value in pairs if value is not None}


def _cells(source: Mapping[str, Any], entry: Mapping[str, Any], table: Table) -> list[Record]:
    flaws, columns, records = table.flaws(), table.column_flaws(), []
    for row, cells in entry["rows"].items():
        spreads = dict(zip(entry["metrics"], cells.get("spread", []), strict=False))
        values = {**table.rows[row], **table.also[row]}
        directions = {**entry["metrics"], **entry.get("also", {})}
        if row in table.printed:
            values["all.delta_m"] = table.printed[row]
            directions["all.delta_m"] = "higher" if table.higher_is_better else "lower"
        said = cells.get("doubtful", entry.get("doubtful"))
        for name, value in values.items():
            task, metric = name.split(".", 1)
            answer, margin = _answer(entry, table, row, name)
            spread = spreads.get(name)
            whole = [flaws[row]] if row in flaws else []
            own = [text for column, (rows, text) in columns.items() if column == name and row in rows]
            doubts = [said, *(f"Recomputed: {text}" for text in (*whole, *own))]
            records.append(
                Record(
                    id=f"{table.id}/{row}/{name}", paper=source["key"], version=source["version"],
                    cell=f"{entry['cell']}, row {row}", statement=f"{row}: {metric} of {task} on {entry['data']}",
                    task=task, metric=metric, direction=directions[name], kind="level", value=value, spread=spread,
                    spread_kind=None if spread is None else entry["spread_kind"], margin=margin,
                    seeds=entry["seeds"], selection=entry["selection"], data=entry["data"], network=entry["network"],
                    origin=entry.get("origin", "paper"), twin=entry.get("twin") if answer else None,
                    doubtful=" ".join(f"{d.rstrip('.')}." for d in doubts if d) or None, answered_by=answer,
                    unanswered=None if answer else entry["unanswered"], headline=False,
                )
            )  # fmt: skip
    return records


def _answer(entry: Mapping[str, Any], table: Table, row: str, name: str) -> tuple[Answer | None, float | None]:
    """The experiment behind a cell, compared with that of the table's baseline row, and the published difference."""
    experiment, baseline = entry["rows"][row].get("experiment"), entry.get("baseline")
    if experiment is None or name not in table.rows[row]:
        return None, None
    if baseline in (None, row) or name not in table.rows[baseline]:
        return Answer(experiment, name), None
    minus = entry["rows"][baseline].get("experiment")
    if minus is None:
        raise ValueError(f"`experiment` of {table.id}/{baseline} must be given, as it is the table's baseline.")
    return Answer(experiment, name, minus), table.rows[row][name] - table.rows[baseline][name]
