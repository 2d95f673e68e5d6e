"""Stage `evaluate`: reports/history/*.jsonl -> reports/metrics.json and reports/results.csv.

Each experiment is judged under its problem's selection rule (params.yaml, `protocols`), with mean, standard deviation
and 95 % interval over seeds, Delta-m against our own single-task runs, mean rank, and paired differences to the sum.
Nothing is trained and no data is read. Example: python -m pipelines.evaluate
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from gradsurgery.reporting.comparison import evaluate
from gradsurgery.reporting.history import Run, parse
from gradsurgery.reporting.selection import RULES
from gradsurgery.reporting.tables import results


def read_histories(folder: Path) -> dict[str, list[Run]]:
    """Every history under `folder`, by experiment. Raises ValueError, naming file and line, for a malformed one."""
    runs = {}
    for path in sorted(folder.glob("*.jsonl")):
        runs[path.stem] = parse(path.read_text(encoding="utf-8").splitlines(), str(path))
        if runs[path.stem][0].experiment != path.stem:
            raise ValueError(f"{path}:1: `experiment` must be {path.stem!r}, found {runs[path.stem][0].experiment!r}.")
    if not runs:
        raise ValueError(f"{folder} must hold at least one history (*.jsonl), found none: run `train` first.")
    return runs


def read_selections(path: Path) -> dict[str, str]:
    """`protocols.<problem>.selection` of params.yaml; problems that it does not name are judged by best-val."""
    document = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    selections = {problem: block["selection"] for problem, block in (document.get("protocols") or {}).items()}
    for problem, rule in selections.items():
        if rule not in RULES:
            raise ValueError(f"`protocols.{problem}.selection` must be one of {', '.join(RULES)}, found {rule!r}.")
    return selections


def write(files: dict[Path, bytes]) -> None:
    """Writes all files or none: each goes beside its place first, and moves there when all have been written."""
    staged = []
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        beside.write_bytes(content)
        staged.append((beside, path))
    for beside, path in staged:
        os.replace(beside, path)


def as_json(document: Any) -> bytes:
    """Sorted keys and one newline at the end: the same numbers give the same bytes."""
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout to work in (default: here)")
    root = parser.parse_args(arguments).root
    try:
        metrics = evaluate(read_histories(root / "reports/history"), read_selections(root / "params.yaml"))
    except ValueError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    write({
        root / "reports/metrics.json": as_json(metrics),
        root / "reports/results.csv": results(metrics).to_csv(index=False, lineterminator="\n").encode(),
    })  # fmt: skip
    print(f"evaluate: {len(metrics)} experiments -> reports/metrics.json, reports/results.csv")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
