"""What a page shows of one paper, or of one section that is no paper's."""

from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.ledger.findings import Finding
from gradsurgery.ledger.records import Paper, Record
from gradsurgery.report import lengths, verdicts
from gradsurgery.report.numbers import claims, quotable, words
from gradsurgery.report.output import Output
from gradsurgery.report.section import Section
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import NAMES, SECTIONS


def entry(
    key: str, paper: Paper | None, found: Sequence[Finding], section: Section | None, sources: Sources, out: Output
) -> dict[str, Any]:
    """Claims, section and records; writes the tables and figures that belong to them.

    Args:
        key: of the paper or section.
        paper: None for a section that is no paper's.
        found: the paper's records, judged.
        section: None where nothing of it was run.
        sources: what was run.
        out: takes the files.
    """
    told, answered, long = claims(found, sources), verdicts.table(found), lengths.drawing(key, found)
    return {
        "key": key, "name": SECTIONS.get(key, NAMES.get(key, key)), "paper": paper, "section": section,
        "counts": words([c for c in told if not c.control]), "controls": words([c for c in told if c.control]),
        "quotable": quotable(told),
        "figures": [out.drawing(drawing) for drawing in section.drawings] if section else [],
        "sheets": [out.sheet(sheet) for sheet in section.sheets] if section else [],
        "claims": told,
        "lengths": out.drawing(long) if long else None,
        "answered": out.table(f"{key}-ledger", answered) if len(answered) else None,
        "doubts": list(dict.fromkeys(_doubt(f.record) for f in found if f.record.doubtful)),
        "ledger": _ledger(paper, found) if paper else None,
    }  # fmt: skip


def _doubt(record: Record) -> str:
    """A doubt that a whole table shares is told once for the table, without its rows."""
    return f"{record.cell.split(', row ')[0]}: {record.doubtful}"


def _ledger(paper: Paper, found: Sequence[Finding]) -> Mapping[str, Any]:
    return {
        "records": len(found),
        "reasons": verdicts.reasons(found),
        "recomputed": sum(len(table.recomputed()) for table in paper.tables),
        "flaws": sum(len(table.flaws()) + len(table.column_flaws()) for table in paper.tables),
    }
