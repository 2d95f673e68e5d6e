"""Stage `report`: histories, costs, metrics.json and published records -> tables, figures, plots, site, README block.

Needs no data and trains nothing. Everything is made in memory first; files are replaced only when all of it succeeded.
Example: python -m pipelines.report
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradsurgery.evidence.contrasts import parse as parse_contrasts
from gradsurgery.evidence.diverged import split
from gradsurgery.evidence.documents import decode
from gradsurgery.evidence.evaluation import Measured
from gradsurgery.ledger.records import check_provenance
from gradsurgery.ledger.verdicts import parse as parse_verdicts
from gradsurgery.report.readme import with_block
from gradsurgery.report.site import assemble
from gradsurgery.report.sources import Sources
from pipelines import _missing
from pipelines._blocks import whole_blocks
from pipelines._files import read_text, write
from pipelines._links import places
from pipelines._protocol import read_changes
from pipelines._watchdog import workers
from pipelines.evaluate import Inputs, read_evaluation, read_inputs

OWNED = ("tables", "figures", "plots", "papers", "problems")  # under reports/: nothing there but what this stage writes
MOST = 8  # processes that draw: more of them wait for figures to be made


def declared_experiments(problems: Mapping[str, Any]) -> set[str]:
    """Full names of all lines of params.yaml."""
    return {f"{name}-{key}" for name, block in problems.items() for key in block.get("methods", {})}


def gather(root: Path) -> Sources:
    """All sources of the report under one checkout. Raises ValueError when they do not belong together."""
    given = read_inputs(root)
    datasets, problems = (whole_blocks(name, given.params.get(name) or {}) for name in ("datasets", "problems"))
    if problems:
        check_provenance(given.papers, declared_experiments(problems))
    # the one way to see that no number stems from other histories
    found = read_evaluation(root, given)
    return Sources(
        groups=given.groups,
        metrics=found["metrics.json"],
        costs=given.costs,
        papers=given.papers,
        datasets=datasets,
        declared=problems,
        studies=given.studies,
        skipped=_missing.problems_without(_missing.read(root)),
        contrasts=parse_contrasts(found["contrasts.json"]),
        measured=decode(Measured, found["measured.json"]),
        findings=parse_verdicts(found["verdict.json"], given.papers),
        places=places(given.groups, [other.groups for other in given.others.values()]),
        protocol=given.protocol,
        there={n: e["registered"]["there"] for n, e in found["verdict.json"].items() if "registered" in e},
        changed=read_changes(root),
        others={scale: _other(given.others[scale], kept) for scale, kept in found["scales.json"].items()},
    )


def _other(given: Inputs, kept: Mapping[str, Any]) -> Sources:
    """What there is of another scale, without lines that diverged."""
    whole, _ = split(given.groups)
    return Sources(
        groups=whole,
        metrics={name: kept["metrics.json"][name] for name in whole},
        costs=given.costs,
        papers=(),
        datasets={},
        declared={},
        contrasts=parse_contrasts(kept["contrasts.json"]),
        measured=decode(Measured, kept["measured.json"]),
    )


@contextmanager
def drawers() -> Iterator[Executor | None]:
    """Processes that draw figures, one a core; None where there is one core only, or where they cannot be forked: a
    process that imports everything again costs more than it saves."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    if cores == 1:
        yield None
        return
    with workers(min(cores, MOST), "fork") as pool:
        yield pool


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout to work in (default: here)")
    root = parser.parse_args(arguments).root
    readme = root / "README.md"
    try:
        sources = gather(root)
        with drawers() as pool:
            report = assemble(sources, pool)
        files = {root / "reports" / name: content for name, content in report.files.items()}
        if readme.exists():
            files[readme] = with_block(read_text(readme, "restore it from Git"), report.headlines).encode()
        write(files)
        for folder in OWNED:
            for path in sorted((root / "reports" / folder).glob("*")):
                if path not in files:
                    path.unlink()
    except (ValueError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    print(f"report: {len(report.files)} files -> reports/index.html and the pages, tables, figures and plots behind it")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
