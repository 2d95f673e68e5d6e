"""From a context to a page: templates of this package, escaped, with filters for tables, figures and anchors."""

import dataclasses
import re
from collections.abc import Mapping
from concurrent.futures import Future
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from gradsurgery.evidence.measures import capital
from gradsurgery.report import interval
from gradsurgery.report.tables import Linked

WIDE, STACKED = (
    5,
    5,
)  # columns: more than WIDE scroll in their box on a phone, fewer than STACKED stand below each other
POINT = 4 / 3  # pixels


def render(template: str, context: Mapping[str, Any]) -> str:
    """The page that a template makes of a context. Raises jinja2.UndefinedError for what the context lacks."""
    return _environment().get_template(template).render(context) + "\n"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gradsurgery.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"view": view, "size": size, "anchor": anchor, "capital": capital, "code": code}
    environment.globals |= {"drawing": interval}
    return environment


def static(name: str) -> bytes:
    """A file of the site that is no page."""
    return files("gradsurgery.report").joinpath("templates", name).read_bytes()


def anchor(text: str) -> str:
    """A fragment identifier for a heading or a figure."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def code(text: str) -> Markup:
    """A sentence of a docstring, in which names stand between backticks."""
    parts = text.split("`")
    marked = [Markup("<code>{}</code>").format(part) if i % 2 else Markup.escape(part) for i, part in enumerate(parts)]
    return Markup("").join(marked)


def size(drawn: Future[bytes]) -> tuple[int, int]:
    """Width and height in pixels of an SVG, which says them in points."""
    found = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn.result())
    assert found is not None
    return round(float(found[1]) * POINT), round(float(found[2]) * POINT)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a table; `kind` is its class, empty for a number, which most cells are."""

    text: str
    kind: str
    target: str | None


@dataclasses.dataclass(frozen=True)
class View:
    """A table as the template lays it out."""

    kind: str
    columns: list[Cell]
    rows: list[list[Cell]]


def view(frame: pd.DataFrame) -> View:
    """A data frame as a table that sorts: columns of numbers and of words apart, verdicts with their word as class."""
    columns = {str(name): ["-" if cell is None else cell for cell in frame[name]] for name in frame.columns}
    numeric = {name: all(_NUMBER.fullmatch(str(cell)) for cell in cells) for name, cells in columns.items()}
    rows = [[_cell(name, cells[i], numeric[name]) for name, cells in columns.items()] for i in range(len(frame))]
    kind = "wide" if len(columns) > WIDE else "stack" if len(columns) < STACKED else ""
    return View(kind, [Cell(name, _kind(name, "", numeric[name]), None) for name in columns], rows)


def _cell(column: str, cell: object, numeric: bool) -> Cell:
    kind = _kind(column, str(cell), numeric)
    return Cell(str(cell), "" if kind == "number" else kind, cell.target if isinstance(cell, Linked) else None)


_NUMBER = re.compile(r"-|[-+]?\d[\d.,]*( \[.*\])?|-?\d[\d.]* to -?\d[\d.]*")


def _kind(column: str, cell: str, numeric: bool) -> str:
    if column == "verdict":
        return f"verdict {anchor(cell.split('(')[0])}".strip()
    if column in ("method", "paper", "experiment"):
        return "name"
    return "number" if numeric else "text"
