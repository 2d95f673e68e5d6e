"""From a workspace into the checkout: the results of a complete run, for a commit."""

import json
from pathlib import Path

from gradsurgery.report.readme import with_block_of
from pipelines._regression import means
from pipelines.evaluate import write

_FOLDERS = ("tables", "figures", "plots", "papers", "problems")  # under reports/; what is gone goes here too
_JUDGED = ("metrics.json", "results.csv", "contrasts.json", "measured.json", "verdict.json", "scales.json",
           "summary.json")  # fmt: skip


def publish(here: Path, root: Path, scale: str) -> str:
    """The reports, the README's block and the lock of `here` into `root`, all or nothing; says what to do next."""
    folders = [*_FOLDERS, f"history/{scale}", f"costs/{scale}"]
    sources = [here / "dvc.lock", *(here / "reports" / name for name in _JUDGED)]
    sources += [path for pattern in ("*.html", "site.*") for path in sorted((here / "reports").glob(pattern))]
    sources += [p for own in folders for p in sorted((here / "reports" / own).rglob("[!.]*")) if p.is_file()]
    files = {root / path.relative_to(here): path.read_bytes() for path in sources}
    ours, theirs = ((folder / "README.md").read_text(encoding="utf-8") for folder in (root, here))
    files[root / "README.md"] = with_block_of(ours, theirs).encode()
    write({path: content for path, content in files.items() if not path.exists() or path.read_bytes() != content})
    for own in folders:
        for path in (root / "reports" / own).rglob("[!.]*"):
            if path.is_file() and path not in files:
                path.unlink()
    return f"recorded {len(files)} files in {root}: commit reports/, README.md and dvc.lock together"


def record(here: Path, root: Path, scale: str) -> str:
    """The means of another scale's run, as what later runs at that scale are compared with; says what to do next."""
    fresh = json.loads((here / "reports/metrics.json").read_text(encoding="utf-8"))
    path = root / "tests/regression" / f"{scale}.json"
    write({path: (json.dumps(means(fresh), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()})
    return f"recorded in {path}: commit it"
