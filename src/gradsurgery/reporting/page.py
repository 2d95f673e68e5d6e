"""The report page: everything on one self-contained HTML page, figures inline, nothing fetched from anywhere."""

import re
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from importlib.resources import files
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from gradsurgery.evidence.measures import capital
from gradsurgery.report.tables import Linked
from gradsurgery.reporting.compact import Drawings, sheet


def render(context: Mapping[str, Any]) -> str:
    """The page for a context whose figures are SVG bytes to come and whose tables are data frames (see page.html)."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    drawings = Drawings()
    environment.filters |= {"table": table, "inline": partial(inline, drawings), "capital": capital}
    source = files("gradsurgery.reporting").joinpath("page.html").read_text(encoding="utf-8")
    page = environment.from_string(source).render(context)
    return page.replace(_SHEET, sheet(drawings.rules), 1) + "\n"


_SHEET = "/* the classes of the figures */"


def anchor(text: str) -> str:
    """A fragment identifier for a heading."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def inline(drawings: Drawings, drawn: Future[bytes], name: str, caption: str) -> Markup:
    """An SVG as part of the page, in a figure that can be linked to by its name."""
    drawing = drawings.place(drawn.result().decode())
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{Markup.escape(caption)}" ', 1)
    return Markup('<figure id="{}"><div class="scroll">{}</div><figcaption>{}</figcaption></figure>').format(
        anchor(name), Markup(drawing), caption
    )


def table(frame: pd.DataFrame) -> Markup:
    """A data frame as a table that sorts; numbers line up on the right, verdicts get a mark and their word."""
    columns = {str(name): ["-" if cell is None else cell for cell in frame[name]] for name in frame.columns}
    numeric = {name: all(_NUMBER.fullmatch(str(cell)) for cell in cells) for name, cells in columns.items()}
    head = [
        Markup('<th scope="col" class="{}"><button type="button">{}</button></th>').format(_kind(n, "", numeric[n]), n)
        for n in columns
    ]
    rows = [
        Markup("").join(
            Markup("<td{}>{}</td>").format(_classed(_kind(n, str(c), numeric[n])), _linked(c)) for n, c in row
        )
        for row in ([(name, cells[i]) for name, cells in columns.items()] for i in range(len(frame)))
    ]
    body = Markup("").join(Markup("<tr>{}</tr>").format(row) for row in rows)
    return Markup(
        '<div class="scroll"><table class="{}"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format("wide" if len(columns) > 5 else "stack" if len(columns) < 5 else "", Markup("").join(head), body)


def _linked(cell: object) -> str | Markup:
    if isinstance(cell, Linked):
        return Markup('<a href="{}">{}</a>').format(cell.target, cell.text)
    return str(cell)


def _classed(kind: str) -> Markup:
    """Nothing for a number: most cells are, and the style sheet takes a cell without a class for one."""
    return Markup("") if kind == "number" else Markup(' class="{}"').format(kind.strip())


_NUMBER = re.compile(r"-|[-+]?\d[\d.,]*( \[.*\])?|-?\d[\d.]* to -?\d[\d.]*")


def _kind(column: str, cell: str, numeric: bool) -> str:
    if column == "verdict":
        return "verdict " + anchor(cell.split("(")[0])
    if column in ("method", "paper", "experiment"):
        return "name"
    return "number" if numeric else "text"
