"""The committed site: every link, anchor and picture leads somewhere, and every row of ours to what it came from."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

REPORTS = Path(__file__).parents[2] / "reports"
PAGES = sorted(str(path.relative_to(REPORTS)) for pattern in ("*.html", "*/*.html") for path in REPORTS.glob(pattern))
EMPTY = {"img", "link", "meta", "br", "path", "circle"}


class Page(HTMLParser):
    """Collects what a browser would resolve, and the outline that a reader hears."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.pictures: list[dict[str, str]] = []
        self.headings: list[int] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        self.links += [given[name] for name in ("href", "src") if name in given]
        if tag == "img":
            self.pictures.append(given)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open.pop() == tag, "elements nest"


def wrong_links(reports: Path) -> list[str]:
    """Links of all pages under `reports` that lead to no file, or to no place on the page that they name."""
    found = sorted(str(path.relative_to(reports)) for path in [*reports.glob("*.html"), *reports.glob("*/*.html")])
    pages = {name: Page((reports / name).read_text(encoding="utf-8")) for name in found}
    wrong = []
    for name, page in pages.items():
        for link in page.links:
            place, _, fragment = link.partition("#")
            target = ((reports / name).parent / place).resolve() if place else (reports / name).resolve()
            inside = target.is_relative_to(reports.resolve()) and target.is_file()
            known = str(target.relative_to(reports.resolve())) if inside else ""
            if not inside or (fragment and fragment not in pages[known].ids):
                wrong.append(f"{name}: {link}")
    return wrong


def test_every_link_of_the_site_leads_to_a_file_or_a_place_in_it() -> None:
    assert {"index.html", "papers/pcgrad.html", "problems/census.html", "protocol.html"} <= set(PAGES)
    assert wrong_links(REPORTS) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<a href="#a">x</a><a href="b.html#c">x</a><a href="https://x.org">x</a>')
    (tmp_path / "b.html").write_text('<p id="d"><a href="index.html">x</a><img src="gone.svg"></p>')
    assert wrong_links(tmp_path) == [
        "b.html: gone.svg", "index.html: #a", "index.html: b.html#c", "index.html: https://x.org"
    ]  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_can_be_heard(name: str) -> None:
    page = Page((REPORTS / name).read_text(encoding="utf-8"))
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    steps = zip(page.headings, page.headings[1:], strict=False)
    assert all(after - before <= 1 for before, after in steps), "no level is left out"
    assert all(len(picture["alt"]) > 20 and picture["width"] and picture["height"] for picture in page.pictures)
    home = "index.html" if "/" not in name else "../index.html"
    assert home in page.links, "a way back"


def test_every_page_can_be_reached_from_the_first_and_every_figure_is_shown() -> None:
    links = Page((REPORTS / "index.html").read_text(encoding="utf-8")).links
    assert set(PAGES) <= {link.partition("#")[0] for link in links}
    shown = {
        picture["src"].split("/")[-1]
        for name in PAGES
        for picture in Page((REPORTS / name).read_text(encoding="utf-8")).pictures
    }
    assert shown == {path.name for path in REPORTS.glob("figures/*.svg")}


# Tables without a link in every row, known by their first columns, and why.
EXCEPTIONS = {
    ("paper", "records"): "counts of records",
    ("problem", "asked for"): "read from the declarations of a whole problem",
    ("data set", "licence"): "no result",
    ("cores", "device"): "no result",
    ("metric", "margin", "unit"): "what was registered: no result",
    ("commit", "date"): "what changed since: no result",
    ("paper", "claim", "scale", "compares"): "what was registered: no result",
    ("method", "mean rank", "n (blocks)"): "a row sums up many problems, whose own tables have the links",
    ("problem", "data set", "blocks"): "ranks of the methods of a problem, whose own table has the links",
}
# Rows that stand for many histories, by how their first cell starts.
SUMS = ("static weights, best of",)

Table = tuple[str, list[str], list[str]]  # heading, columns, rows as HTML


def tables(page: str) -> list[Table]:
    found, heading = [], ""
    for part in re.finditer(r"<h[123][^>]*>(.*?)</h[123]>|<summary>(.*?)</summary>|<table.*?</table>", page, re.DOTALL):
        heading = part[1] or part[2] or heading
        if part[0].startswith("<table") and "<thead>" in part[0]:
            columns = re.findall(r'<button type="button">(.*?)</button>', part[0])
            body = part[0].split("<tbody>")[1]
            found.append((heading, columns, re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)))
    return found


def exception(columns: list[str]) -> tuple[str, ...]:
    return next((known for known in EXCEPTIONS if tuple(columns[: len(known)]) == known), ())


def unlinked(page: str) -> list[str]:
    """Rows that lead nowhere and are no exception, by the heading over their table."""
    missing = []
    for heading, columns, rows in tables(page):
        if exception(columns):
            continue
        for row in rows:
            cells = [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]
            numbers = any(re.search(r"\d", cell) for cell in cells)
            ours = "published only" not in cells[0] and not cells[0].startswith(SUMS)
            ours = ours and not any(re.match(r"\W*not run \(", cell) for cell in cells)  # there is no number of ours
            if numbers and ours and not re.search(r'href="(?:\.\./)?(history|costs|study)/', row):
                missing.append(f"{heading}: {cells[0]}")
    return missing


def test_every_number_of_ours_leads_to_its_history() -> None:
    pages = [(REPORTS / name).read_text(encoding="utf-8") for name in PAGES]
    assert sum(len(tables(page)) for page in pages) > 50
    assert [missing for page in pages for missing in unlinked(page)] == []
    met = {exception(columns) for page in pages for _, columns, _ in tables(page)}
    assert met >= set(EXCEPTIONS), "no exception outlives its table"


@pytest.mark.parametrize(
    ("cell", "missing"),
    [("<td>0.5</td>", ["Made up: sum"]), ('<td><a href="history/a.jsonl">0.5</a></td>', []), ("<td>-</td>", [])],
)
def test_a_row_without_a_link_is_found(cell: str, missing: list[str]) -> None:
    head = '<th><button type="button">method</button></th><th><button type="button">accuracy</button></th>'
    table = f"<thead><tr>{head}</tr></thead><tbody><tr><td>sum</td>{cell}</tr></tbody>"
    assert unlinked(f"<h3>Made up</h3><table>{table}</table>") == missing
