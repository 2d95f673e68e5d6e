"""Tables on a terminal."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they must be, the first row their heads; a row that is cut short ends with free text."""
    count = max(map(len, rows))
    widths = [max(len(row[i]) for row in rows if len(row) == count) for i in range(count)]
    widths[0] = max(len(row[0]) for row in rows)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
