"""From a workspace into the checkout: the results of a complete run, for a commit."""

import json
from pathlib import Path

from gradsurgery.report.readme import with_block_of
from pipelines._regression import means
from pipelines.evaluate import write

_FOLDERS = (
    "history",
    "costs",
    "tables",
    "figures",
    "plots",
    "papers",
    "problems",
)  # under reports/; what is not there any more goes here too
_FILES = (
    "reports/metrics.json",
    "reports/results.csv",
    "reports/verdict.json",
    "reports/contrasts.json",
    "reports/measured.json",
    "dvc.lock",
)


def publish(here: Path, root: Path) -> str:
    """The reports, the README's block and the locks of `here` into `root`, all or nothing; says what to do next."""
    sources = [here / name for name in _FILES] + sorted(here.glob("pipelines/*/dvc.lock"))
    sources += [path for pattern in ("*.html", "site.*") for path in sorted((here / "reports").glob(pattern))]
    sources += [path for folder in _FOLDERS for path in sorted((here / "reports" / folder).glob("[!.]*"))]
    files = {root / path.relative_to(here): path.read_bytes() for path in sources}
    ours, theirs = ((folder / "README.md").read_text(encoding="utf-8") for folder in (root, here))
    files[root / "README.md"] = with_block_of(ours, theirs).encode()
    write({path: content for path, content in files.items() if not path.exists() or path.read_bytes() != content})
    for folder in _FOLDERS:
        for path in (root / "reports" / folder).glob("[!.]*"):
            if path not in files:
                path.unlink()
    return f"recorded {len(files)} files in {root}: commit reports/, README.md and the dvc.lock files together"


def record(here: Path, root: Path, scale: str) -> str:
    """The means of another scale's run, as what later runs at that scale are compared with; says what to do next."""
    fresh = json.loads((here / "reports/metrics.json").read_text(encoding="utf-8"))
    path = root / "tests/regression" / f"{scale}.json"
    write({path: (json.dumps(means(fresh), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()})
    return f"recorded in {path}: commit it"
