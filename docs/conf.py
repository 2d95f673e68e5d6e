"""Settings of the documentation site: `make docs`."""

import re
from pathlib import Path
from typing import Any

import gradsurgery

project, author, release = "gradsurgery", "the gradsurgery developers", gradsurgery.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme, html_title = "furo", "gradsurgery"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
napoleon_use_rtype = False

ROOT = Path(__file__).parents[1]
TAKEN = {"contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}  # pages of this site that lie at the root


def take(app: Any, page: str, source: list[str]) -> None:
    """Such a page with its links as they are from here."""
    if page in TAKEN:
        text = (ROOT / TAKEN[page]).read_text(encoding="utf-8")
        here = {name: f"{page}.md" for page, name in TAKEN.items()} | {"docs/decisions/": "decisions/index.md"}

        def link(found: re.Match[str]) -> str:
            target = found[1]
            if target in here:
                return f"]({here[target]})"
            return f"]({target.removeprefix('docs/') if target.startswith('docs/') else f'../{target}'})"

        source[0] = re.sub(r"\]\((?!https?:|#)([^)]+)\)", link, text)


def plain(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Our docstrings are plain text: bars are bars, and what is indented on its own is a formula or code."""
    found: list[str] = []
    for line in lines:
        before = next((old for old in reversed(found) if old), "")
        alone = bool(found) and not found[-1] and line.startswith("    ") and not before.startswith(" ")
        if alone and not before.endswith(":"):
            found += ["::", ""]
        found.append(line.replace("|", r"\|") if not line.startswith("    ") else line)
    lines[:] = found


def setup(app: Any) -> None:
    app.connect("source-read", take)
    app.connect("autodoc-process-docstring", plain, priority=400)  # before napoleon, which is at 500
