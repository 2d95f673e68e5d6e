"""The documentation builds as a site, without a warning: every page is in it, and every link leads somewhere."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMAND = ["-m", "sphinx", "--fail-on-warning", "--quiet"]


@pytest.mark.slow
def test_the_site_builds_and_a_dead_link_would_not(tmp_path):
    pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
    built = subprocess.run([sys.executable, *COMMAND, ROOT / "docs", tmp_path / "site"], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = {path.relative_to(tmp_path / "site").with_suffix(".md") for path in (tmp_path / "site").rglob("*.html")}
    written = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert written <= pages
    assert "gradsurgery.GradientSurgery.backward" in (tmp_path / "site/api.html").read_text()

    shutil.copytree(ROOT / "docs", tmp_path / "copy/docs")
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path / "copy")
    page = tmp_path / "copy/docs/tutorial.md"
    page.write_text(page.read_text().replace("](judging.md)", "](judged.md)"))
    built = subprocess.run(
        [sys.executable, *COMMAND, tmp_path / "copy/docs", tmp_path / "other"], capture_output=True, text=True
    )
    assert built.returncode != 0
    assert "judged.md" in built.stderr
