"""The committed page in a real browser, at the width of a desk and of a phone: it loads, links resolve, figures show.

A probe is put into a copy of the page; it collects errors while the page loads, then looks at what was laid out.
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

LISTEN = """<script>
window.wrong = [];
window.addEventListener("error", function (e) {
  window.wrong.push(e.message || "failed to load " + e.target.outerHTML);
}, true);
</script>"""

LOOK = """<script>
window.addEventListener("load", function () {
  var seen = { errors: window.wrong, dangling: [], files: [], empty: [], unsorted: [], figures: 0, tables: 0 };
  document.querySelectorAll("details").forEach(function (d) { d.open = true; });
  document.querySelectorAll("a[href]").forEach(function (a) {
    var to = a.getAttribute("href");
    if (to[0] !== "#") seen.files.push(to);
    else if (!document.getElementById(to.slice(1))) seen.dangling.push(to);
  });
  document.querySelectorAll("svg use").forEach(function (use) {
    var to = use.getAttribute("xlink:href") || use.getAttribute("href");
    if (!document.getElementById(to.slice(1))) seen.dangling.push(to);
  });
  document.querySelectorAll("figure").forEach(function (figure) {
    seen.figures += 1;
    var drawn = Array.prototype.filter.call(figure.querySelectorAll("path, use"), function (shape) {
      var box = shape.getBoundingClientRect();
      return box.width + box.height > 0 && !shape.closest("defs") && !shape.closest("clipPath");
    });
    var words = Array.prototype.filter.call(figure.querySelectorAll("text"), function (t) {
      return t.getBoundingClientRect().width > 0;
    });
    var told = figure.querySelector("figcaption").textContent;
    if (drawn.length < 8 || words.length < 3 || !told) seen.empty.push(figure.id);
  });
  document.querySelectorAll("table").forEach(function (table) {
    seen.tables += 1;
    var head = table.tHead.rows[0].cells[0];
    var first = function () {
      return Array.prototype.map.call(table.tBodies[0].rows, function (r) { return r.cells[0].textContent; });
    };
    var before = first().length;
    head.querySelector("button").click();
    var up = first().join("|");
    head.querySelector("button").click();
    var down = first().join("|");
    var kinds = new Set(first()).size;
    if (first().length !== before || (kinds > 1 && up === down)) seen.unsorted.push(head.textContent);
  });
  seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  seen.width = document.documentElement.clientWidth;
  window.parent.postMessage(JSON.stringify(seen), "*");
});
</script>"""

# A frame of exactly that width: a window of the browser itself is never narrower than 500 pixels.
FRAME = """<script>
window.addEventListener("message", function (e) {
  var note = document.createElement("pre");
  note.id = "probe";
  note.textContent = e.data;
  document.body.appendChild(note);
});
</script><iframe src="page.html" style="width:%dpx;height:900px;border:0"></iframe>"""


def browser() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def probe(page: Path, width: int, folder: Path) -> dict[str, Any]:
    """What the browser found on `page` at a width in pixels."""
    text = page.read_text(encoding="utf-8")
    copy = folder / "page.html"
    copy.write_text(text.replace("<head>", f"<head>{LISTEN}", 1).replace("</body>", f"{LOOK}</body>", 1))
    (folder / "frame.html").write_text(FRAME % width)
    command = [
        browser() or "", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900", "--virtual-time-budget=20000", "--dump-dom",
        (folder / "frame.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert found, f"the page's scripts did not run to their end: {done.stderr[-500:]}"
    seen: dict[str, Any] = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    return seen


@pytest.mark.slow
@pytest.mark.skipif(browser() is None, reason=f"needs a browser: none of {', '.join(BROWSERS)} is installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_loads_and_shows_everything(width: int, tmp_path: Path) -> None:
    seen = probe(REPORTS / "index.html", width, tmp_path)
    assert seen["width"] == width
    assert seen["errors"] == []
    assert seen["dangling"] == [], "links and shared shapes lead somewhere on the page"
    assert [to for to in sorted(set(seen["files"])) if not (REPORTS / to).is_file()] == []
    assert seen["empty"] == [], "every figure shows shapes and words and has a caption"
    assert seen["unsorted"] == [], "a click on a column's head sorts its table, another one turns it round"
    assert seen["figures"] > 10
    assert seen["tables"] > 10
    assert seen["overflow"] <= 0, "only figures and tables may scroll sideways, in boxes of their own"


@pytest.mark.slow
@pytest.mark.skipif(browser() is None, reason=f"needs a browser: none of {', '.join(BROWSERS)} is installed")
def test_the_probe_sees_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "wrong.html"
    page.write_text(
        "<html><head></head><body><a href='#nowhere'>a</a><p style='width:3000px'>wide</p>"
        "<figure id='f'><svg></svg><figcaption></figcaption></figure><img src='gone.png'>"
        "<table><thead><tr><th><button>x</button></th></tr></thead><tbody><tr><td>b</td></tr><tr><td>a</td></tr></tbody>"
        "</table><script>throw new Error('broken')</script></body></html>"
    )
    seen = probe(page, 800, tmp_path)
    assert any("broken" in error for error in seen["errors"])
    assert any("gone.png" in error for error in seen["errors"])
    assert (seen["dangling"], seen["empty"], seen["unsorted"]) == (["#nowhere"], ["f"], ["x"])
    assert seen["overflow"] > 2000
