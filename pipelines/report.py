"""Stage `report`: histories, costs, metrics.json and published records -> tables, figures, plots, page, README block.

Needs no data and trains nothing. Everything is made in memory first; files are replaced only when all of it succeeded.
Example: python -m pipelines.report
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from gradsurgery.reporting.assembly import Sources, assemble
from gradsurgery.reporting.ledger import read
from gradsurgery.reporting.published import Paper, check_provenance
from gradsurgery.reporting.readme import with_block
from gradsurgery.reporting.study import Trial, parse
from pipelines._workspace import SKIPPED
from pipelines.evaluate import read_histories, write

OWNED = ("tables", "figures", "plots")  # folders under reports/ that hold nothing but what this stage writes
MOST = 8  # processes that draw: more of them wait for figures to be made


def read_papers(folder: Path) -> list[Paper]:
    """The published records, by file name. Raises ValueError, naming the file, for a malformed one."""
    papers = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            papers.append(read(yaml.safe_load(path.read_text(encoding="utf-8"))))
        except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise ValueError(f"{path}: {error}") from None
    return sorted(papers, key=lambda paper: (paper.year, paper.key))


def read_json(path: Path) -> Any:
    """One JSON file. Raises ValueError, naming file and line, when it is missing or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} must exist, found nothing: run `evaluate` first.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: must be JSON, found {error.msg}.") from None


def read_studies(folder: Path) -> dict[str, list[Trial]]:
    """What `make study` left, by problem; nothing where it never ran. Raises ValueError for a malformed line."""
    paths = sorted(folder.glob("*.jsonl"))
    return {path.stem: parse(path.read_text(encoding="utf-8").splitlines(), str(path)) for path in paths}


def declared_experiments(document: Mapping[str, Any]) -> set[str]:
    """Full names of all lines of params.yaml, sequels included."""
    tables = [document.get(name) or {} for name in ("experiments", "sequels")]
    return {f"{problem}-{key}" for table in tables for problem, lines in table.items() for key in lines}


def gather(root: Path) -> Sources:
    """All sources of the report under one checkout. Raises ValueError when they do not belong together."""
    groups = read_histories(root / "reports/history")
    metrics = read_json(root / "reports/metrics.json")
    if set(metrics) != set(groups):
        odd = sorted(set(metrics) ^ set(groups))[0]
        raise ValueError(f"reports/metrics.json must hold the experiments of reports/history, found {odd} in one only.")
    params = root / "params.yaml"
    document = yaml.safe_load(params.read_text(encoding="utf-8")) if params.exists() else {}
    papers = read_papers(root / "data/published")
    if "experiments" in document:
        check_provenance(papers, declared_experiments(document))
    return Sources(
        groups=groups,
        metrics=metrics,
        costs={path.stem: read_json(path) for path in sorted((root / "reports/costs").glob("*.json"))},
        papers=papers,
        datasets=document.get("datasets") or {},
        declared=document.get("problems") or {},
        studies=read_studies(root / "reports/study"),
        skipped=read_json(marks) if (marks := root / SKIPPED).exists() else (),
    )


@contextmanager
def drawers() -> Iterator[Executor | None]:
    """Processes that draw figures, one a core; None where there is one core only, or where they cannot be forked: a
    process that imports everything again costs more than it saves."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    if cores == 1:
        yield None
        return
    with ProcessPoolExecutor(min(cores, MOST), mp_context=multiprocessing.get_context("fork")) as pool:
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
            files[readme] = with_block(readme.read_text(encoding="utf-8"), report.headlines).encode()
    except ValueError as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    write(files)
    for folder in OWNED:
        for path in sorted((root / "reports" / folder).glob("*")):
            if path not in files:
                path.unlink()
    print(f"report: {len(report.files)} files -> reports/index.html, reports/tables, reports/figures, reports/plots")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
