"""Reads the ledger: `data/published/<paper>.yaml` holds claims one by one and tables as grids, both become `Record`s.

What a table lets us recompute is recomputed on the way in, and every disagreement becomes part of its records' doubts.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gradsurgery.core.discovery import require
from gradsurgery.evidence.pairs import Planned
from gradsurgery.ledger.arithmetic import Table
from gradsurgery.ledger.checks import check_fields, check_table, number
from gradsurgery.ledger.columns import COLUMNS, PAIRED, RANKS
from gradsurgery.ledger.records import Answer, Paper, Record
from gradsurgery.ledger.sections import Declared, read_section

_OPTIONAL = {
    "origin": "paper", "spread": None, "spread_kind": None, "margin": None, "twin": None,
    "doubtful": None, "unanswered": None, "answered_by": None, "short": None,
}  # fmt: skip


def read(document: Mapping[str, Any]) -> Paper:
    """The paper of one YAML document. Raises ValueError for an unknown, missing or wrong field and a repeated id."""
    for part in ("claims", "tables"):
        require(part, document[part], list)
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
    return Paper(
        **source,
        records=tuple(records),
        tables=tuple(tables),
        contrasts=_contrasts(document),
        section=_section(document),
    )


def _section(document: Mapping[str, Any]) -> Declared | None:
    return read_section(document["section"]) if "section" in document else None


_PLANNED = {"family": str, "problems": list[str], "lines": list[list[str]], "metrics": list[str]}


def _contrasts(document: Mapping[str, Any]) -> tuple[Planned, ...]:
    found = []
    for entry in document.get("contrasts", []):
        check_fields(f"contrasts.{entry.get('family')}", entry, set(_PLANNED), set())
        for name, kind in _PLANNED.items():
            require(f"contrasts.{name}", entry[name], kind)
        found.append(Planned(**entry))
    return tuple(found)


def _claim(source: Mapping[str, Any], entry: Mapping[str, Any]) -> Record:
    key = source["key"]
    require("id", entry.get("id"), str)
    fields = {**_OPTIONAL, **entry, "id": f"{key}/{entry.get('id')}", "paper": key, "version": source["version"]}
    known = {field.name for field in dataclasses.fields(Record)}
    for wrong in sorted(set(fields) ^ known):
        raise ValueError(f"`{wrong}` of {fields['id']} must be {'given' if wrong in known else 'a known field'}.")
    if fields["answered_by"] is not None:
        fields["answered_by"] = Answer(**fields["answered_by"])
    if fields["value"] is not None:
        fields["value"] = number(fields["value"], fields["id"])
    return Record(**fields)


def _table(key: str, entry: Mapping[str, Any]) -> Table:
    require("id", entry.get("id"), str)
    where = f"{key}/{entry['id']}"
    check_table(where, entry)
    convention = entry.get("delta_m", {"over": "metrics", "better": "lower"})
    return Table(
        id=where,
        metrics={name: direction == "higher" for name, direction in entry["metrics"].items()},
        rows={row: _row(where, entry, row, "values", "metrics") for row in entry["rows"]},
        also={row: _row(where, entry, row, "also", "also") for row in entry["rows"]},
        base=entry.get("base"),
        over=convention["over"],
        higher_is_better=convention["better"] == "higher",
        printed={
            row: number(cells["delta_m"], f"{where}/{row}", "delta_m")
            for row, cells in entry["rows"].items()
            if "delta_m" in cells
        },
        tolerance=entry.get("delta_m_tolerance", 0.1),
        doubtful={row: cells["doubtful"] for row, cells in entry["rows"].items() if "doubtful" in cells},
    )


def _row(where: str, entry: Mapping[str, Any], row: str, cells: str, columns: str) -> dict[str, float]:
    """One row under the names of its columns; a cell that the paper leaves empty (null) is left out."""
    if cells not in entry["rows"][row]:
        return {}
    names, values = entry.get(columns, {}), entry["rows"][row][cells]
    if len(values) != len(names):
        raise ValueError(f"`{cells}` of {where}/{row} must have {len(names)} numbers, found {len(values)}.")
    pairs = zip(names, values, strict=True)
    return {name: number(value, f"{where}/{row}") for name, value in pairs if value is not None}


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
                    short=None,
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
    cells, own = entry["rows"][row], table.rows[row]
    metric = {**{n: n for n in own}, **entry.get("measures", {}), **cells.get("measures", {})}.get(name)
    experiment, baseline = _experiment(cells, name), entry.get("baseline")
    if experiment is None or metric is None:
        return None, None
    if metric in COLUMNS:
        rows = [
            entry["rows"][each].get("experiment") for each in table.rows if metric == RANKS and name in table.also[each]
        ]
        among = tuple(dict.fromkeys(each for each in rows if isinstance(each, str)))
        return Answer(experiment, metric, entry["against"] if metric in PAIRED else None, among), None
    if baseline in (None, row) or name not in table.rows[baseline]:
        return Answer(experiment, metric), None
    minus = _experiment(entry["rows"][baseline], name)
    if minus is None:
        raise ValueError(f"`experiment` of {table.id}/{baseline} must be given, as it is the table's baseline.")
    return Answer(experiment, metric, minus), own[name] - table.rows[baseline][name]


def _experiment(cells: Mapping[str, Any], name: str) -> str | None:
    """The row's own, or the one for this column's task, where each task has a network of its own."""
    found = cells.get("experiment")
    experiment: str | None = found.get(name.split(".", 1)[0]) if isinstance(found, Mapping) else found
    return experiment
