"""The report page: everything on one self-contained HTML page, figures inline, nothing fetched from anywhere."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup


def render(context: Mapping[str, Any]) -> str:
    """The page for a context whose figures are SVG bytes and whose tables are data frames (see page.html)."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"table": table, "inline": inline, "anchor": anchor}
    source = files("gradsurgery.reporting").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(source).render(context) + "\n"


def anchor(text: str) -> str:
    """A fragment identifier for a heading."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def inline(svg: bytes, name: str, caption: str) -> Markup:
    """An SVG as part of the page. Its ids get the figure's name, because ids are one namespace per page."""
    drawing = svg.decode()[svg.decode().index("<svg") :]
    prefix = anchor(name)
    drawing = re.sub(r'\bid="', f'id="{prefix}-', drawing)
    drawing = re.sub(r"url\(#", f"url(#{prefix}-", drawing)
    drawing = re.sub(r'href="#', f'href="#{prefix}-', drawing)
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{Markup.escape(caption)}" ', 1)
    return Markup('<figure id="{}"><div class="scroll">{}</div><figcaption>{}</figcaption></figure>').format(
        prefix, Markup(drawing), caption
    )


def table(frame: pd.DataFrame) -> Markup:
    """A data frame as an HTML table; numbers line up on the right, verdicts get a mark and their word."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(column) for column in frame.columns)
    rows = [_row(list(frame.columns), list(row)) for row in frame.itertuples(index=False, name=None)]
    return Markup('<div class="scroll"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>').format(
        head, Markup("").join(rows)
    )


def _row(columns: Sequence[str], cells: Sequence[Any]) -> Markup:
    parts = []
    for column, cell in zip(columns, cells, strict=True):
        text = "-" if cell is None else str(cell)
        kind = "verdict " + anchor(text.split("(")[0]) if column == "verdict" else ""
        if not kind and re.fullmatch(r"[-+−]?\d[\d.,]*( .*)?", text):
            kind = "number"
        parts.append(Markup('<td class="{}">{}</td>').format(kind, text))
    return Markup("<tr>{}</tr>").format(Markup("").join(parts))
