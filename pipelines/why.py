"""From a number to where it comes from: experiment, lock, commit, MLflow runs, data, environment.

NAME is one of
    a record of the ledger     recon/table-1/PCGrad + Recon/left.accuracy    (data/published, reports/verdict.json)
    an experiment              multi_mnist-pcgrad                            (params.yaml)
    a cell of our tables       multi_mnist-pcgrad/left.accuracy              (reports/metrics.json)

Nothing is trained, fetched or written. What a fresh clone does not have (MLflow's store, runs/) is said to be missing.

Examples:
    python -m pipelines.why sam_gs/toy1-all-solved
    python -m pipelines.why cagrad_toy-cagrad-c0_5
    python -m pipelines.why multi_fashion_mnist-sum/left.accuracy
"""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.core.discovery import did_you_mean, require
from gradsurgery.ledger.records import Record
from pipelines._evidence import read_papers
from pipelines._files import about, read_json
from pipelines._provenance import Line, kept, provenance


@dataclasses.dataclass(frozen=True)
class Checkout:
    """What there is to ask about in one checkout."""

    root: Path
    records: Mapping[str, Record]
    metrics: Mapping[str, Mapping[str, Any]]
    verdicts: Mapping[str, Mapping[str, Any]]

    @property
    def cells(self) -> dict[str, tuple[str, str, Mapping[str, Any]]]:
        """Numbers of metrics.json by `<experiment>/<metric>`, differences by `<experiment>/minus_sum.<metric>`."""
        found = {}
        for experiment, row in self.metrics.items():
            entries = {**row, **{f"minus_sum.{name}": entry for name, entry in row.get("minus_sum", {}).items()}}
            for metric, entry in entries.items():
                if isinstance(entry, Mapping) and "mean" in entry:
                    found[f"{experiment}/{metric}"] = (experiment, metric, entry)
        return found


def read_checkout(root: Path) -> Checkout:
    """Raises ValueError where `root` is no checkout of this project or a file in it is malformed."""
    if not (root / "params.yaml").is_file() or not (root / "data/published").is_dir():
        raise ValueError(f"`--root` must be a checkout of gradsurgery, found no params.yaml in {root}.")
    papers = read_papers(root / "data/published")
    metrics, verdict = root / "reports/metrics.json", root / "reports/verdict.json"
    verdicts = _entries(verdict, ("verdict", "ours", "where", "why"), "run `make report`") if verdict.exists() else {}
    return Checkout(
        root=root,
        records={record.id: record for paper in papers for record in paper.records},
        metrics=_entries(metrics, ("selection",), "run `python -m pipelines.evaluate`"),
        verdicts=verdicts,
    )


def _entries(path: Path, fields: Sequence[str], remedy: str) -> dict[str, dict[str, Any]]:
    """A file of named blocks, each with these texts. Raises ValueError, naming the file, for anything else."""
    found: dict[str, dict[str, Any]] = read_json(path, remedy)
    with about(path, remedy):
        require("the file", found, dict[str, dict])
        for name, entry in found.items():
            for field in fields:
                require(f"{name}.{field}", entry.get(field), str | None)
            require(f"{name}.minus_sum", entry.get("minus_sum", {}), dict)
    return found


def explain(name: str, checkout: Checkout) -> list[Line]:
    """Everything known about one name, as pairs of a heading and a text.

    Raises:
        ValueError: the name is none that we have; says which ones come nearest.
    """
    if name in checkout.records:
        return _record(checkout.records[name], checkout)
    if name in checkout.cells:
        experiment, metric, entry = checkout.cells[name]
        cell = [
            ("cell", f"{metric} of {experiment}"),
            ("holds", ", ".join(f"{key} {value}" for key, value in entry.items())),
            ("selection", checkout.metrics[experiment]["selection"]),
        ]
        return [*cell, *provenance(experiment, checkout.root)]
    if name in checkout.metrics:
        return provenance(name, checkout.root)
    experiment = name.partition("/")[0]
    histories = {path.stem for path in kept(checkout.root, "history", "*.jsonl")}
    if experiment not in checkout.metrics and experiment in histories:
        raise ValueError(
            f"{checkout.root / 'reports/metrics.json'} must hold {experiment}, which has a history, found none: run "
            "`python -m pipelines.evaluate`."
        )
    known = [*checkout.records, *checkout.metrics, *checkout.cells]
    said = did_you_mean(name, known)
    said = "; see --help for what a name looks like." if said == "." else said
    raise ValueError(f"`NAME` must be a record, an experiment or a cell, found {name!r}{said}")


def _record(record: Record, checkout: Checkout) -> list[Line]:
    lines = [
        ("record", record.id),
        ("says", record.statement),
        ("read in", f"{record.cell}; {record.version}"),
        ("published", _published(record)),
        ("on", f"{record.data}; {record.network}"),
        ("origin", record.origin),
    ]
    lines += [("doubtful", record.doubtful)] if record.doubtful else []
    verdict = checkout.verdicts.get(record.id, {})
    if record.answered_by is None:
        return [*lines, ("not run", str(record.unanswered))]
    answer = record.answered_by
    lines.append(("verdict", verdict.get("verdict", "none yet: run `make report`")))
    if verdict:
        lines += [("ours", f"{verdict.get('ours')}; {verdict.get('where')}"), ("because", verdict.get("why") or "-")]
    lines += [("twin", record.twin)] if record.twin else []
    minus = f" minus {answer.minus}" if answer.minus else ""
    lines.append(("answered by", f"{answer.metric} of {answer.experiment}{minus}"))
    for name in filter(None, (answer.experiment, answer.minus)):
        lines += [("", ""), *provenance(name, checkout.root, verdict.get("scale"))]
    return lines


def _published(record: Record) -> str:
    value = "no number printed" if record.value is None else f"{record.value:g}"
    spread = "" if record.spread is None else f" +- {record.spread:g} ({record.spread_kind})"
    seeds = "seeds not given" if record.seeds is None else f"{record.seeds} seeds"
    return f"{value}{spread}; {record.metric}; {seeds}; selection: {record.selection or 'not given'}"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 with one sentence for a name that nothing here has."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.why", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help="a record, an experiment or <experiment>/<metric>")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout to look in (default: here)")
    arguments = parser.parse_args(argv)
    try:
        lines = explain(arguments.name, read_checkout(arguments.root))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for heading, text in lines:
        print(f"{heading:<12}{text}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
