"""The committed site in a real browser, at the width of a desk and of a phone: it loads, fits, and its tables sort.

A probe is put into copies of the pages; it collects errors while a page loads, then looks at what was laid out, folded
as it comes and then with everything open.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

REPORTS = Path(__file__).parents[2] / "reports"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SCREEN, SCREENS = 900, 8

LISTEN = """<script>
window.wrong = [];
window.addEventListener("error", function (e) {
  window.wrong.push(e.message || "failed to load " + e.target.outerHTML);
}, true);
</script>"""

LOOK = """<script>
window.addEventListener("load", function () {
  var all = document.documentElement;
  var over = function () { return all.scrollWidth - all.clientWidth; };
  var seen = { width: all.clientWidth, height: document.body.offsetHeight, folded: over(), unsorted: [], empty: [] };
  document.querySelectorAll("details").forEach(function (d) { d.open = true; });
  document.querySelectorAll("img").forEach(function (img) {
    if (img.naturalWidth < 100 || img.getBoundingClientRect().width < 100) seen.empty.push(img.src);
  });
  document.querySelectorAll("svg.interval").forEach(function (svg) {
    if (svg.getBoundingClientRect().width < 10 || !svg.childElementCount) seen.empty.push(svg.outerHTML);
  });
  document.querySelectorAll(".matrix td").forEach(function (cell) {
    if (cell.scrollWidth > cell.clientWidth + 1) seen.empty.push("too wide: " + cell.textContent.trim());
  });
  document.querySelectorAll("table").forEach(function (table) {
    var button = table.tHead && table.tHead.querySelector("button");
    if (!button) return;
    var first = function () {
      return Array.prototype.map.call(table.tBodies[0].rows, function (r) { return r.cells[0].textContent; });
    };
    var before = first().length, kinds = new Set(first()).size;
    button.click();
    var up = first().join("|");
    button.click();
    var down = first().join("|");
    if (first().length !== before || (kinds > 1 && up === down)) seen.unsorted.push(button.textContent);
  });
  seen.open = over();
  seen.errors = window.wrong;
  window.parent.postMessage(JSON.stringify(seen), "*");
});
</script>"""

# Frames of exactly that width, one page after the other: a window of the browser is never narrower than 500 pixels.
FRAME = """<iframe style="width:%dpx;height:900px;border:0"></iframe><script>
var pages = %s, told = {}, place = 0, frame = document.querySelector("iframe");
window.addEventListener("message", function (e) {
  told[pages[place]] = JSON.parse(e.data);
  if (++place < pages.length) { frame.src = pages[place]; return; }
  var note = document.createElement("pre");
  note.id = "probe";
  note.textContent = JSON.stringify(told);
  document.body.appendChild(note);
});
frame.src = pages[0];
</script>"""


def browser() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def probe(reports: Path, width: int, folder: Path) -> dict[str, dict[str, Any]]:
    """What the browser found on every page under `reports` at a width in pixels."""
    copy = folder / "site"
    shutil.copytree(reports, copy, ignore=shutil.ignore_patterns("history", "costs", "tables", "plots", "study"))
    pages = sorted(str(path.relative_to(copy)) for path in copy.rglob("*.html"))
    for name in pages:
        text = (copy / name).read_text(encoding="utf-8")
        (copy / name).write_text(text.replace("<head>", f"<head>{LISTEN}", 1).replace("</body>", f"{LOOK}</body>", 1))
    (copy / "frame.html").write_text(FRAME % (width, json.dumps(pages)))
    command = [
        browser() or "", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900", "--virtual-time-budget=120000", "--dump-dom",
        (copy / "frame.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert found, f"the pages' scripts did not run to their end: {done.stderr[-500:]}"
    seen: dict[str, dict[str, Any]] = json.loads(
        found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )
    return seen


def failing(seen: dict[str, dict[str, Any]], key: str, right: Any) -> dict[str, Any]:
    """The pages on which something is not as it must be."""
    return {name: page[key] for name, page in seen.items() if page[key] != right}


@pytest.mark.slow
@pytest.mark.skipif(browser() is None, reason=f"needs a browser: none of {', '.join(BROWSERS)} is installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_loads_and_fits(width: int, tmp_path: Path) -> None:
    seen = probe(REPORTS, width, tmp_path)
    assert len(seen) > 20
    assert failing(seen, "width", width) == {}
    assert failing(seen, "errors", []) == {}
    assert failing(seen, "empty", []) == {}, "pictures show something, and cells of the matrix hold their words"
    assert failing(seen, "unsorted", []) == {}, "a click on a column's head sorts its table, another turns it round"
    for state in ("folded", "open"):
        assert failing(seen, state, 0) == {}, "only tables and figures may scroll sideways, in boxes of their own"
    if width > 640:
        assert seen["index.html"]["height"] <= SCREEN, "the overview is one screen"
        assert {name: page["height"] for name, page in seen.items() if page["height"] > SCREENS * SCREEN} == {}


@pytest.mark.slow
@pytest.mark.skipif(browser() is None, reason=f"needs a browser: none of {', '.join(BROWSERS)} is installed")
def test_the_probe_sees_what_is_wrong(tmp_path: Path) -> None:
    site = tmp_path / "wrong"
    site.mkdir()
    (site / "index.html").write_text(
        "<html><head></head><body><p style='width:3000px'>wide</p><img src='gone.png'>"
        "<table><thead><tr><th><button>x</button></th></tr></thead><tbody><tr><td>b</td></tr><tr><td>a</td></tr></tbody>"
        "</table><details><p style='width:4000px'>wider</p></details><script>throw new Error('broken')</script>"
        "</body></html>"
    )
    seen = probe(site, 800, tmp_path)["index.html"]
    assert any("broken" in error for error in seen["errors"])
    assert any("gone.png" in error for error in seen["errors"])
    assert "gone.png" in seen["empty"][0]
    assert seen["unsorted"] == ["x"]
    assert seen["open"] > seen["folded"] > 2000
