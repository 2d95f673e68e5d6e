"""From a number to where it comes from: experiment, lock, commit, MLflow runs, data, environment.

NAME is one of
    a record of the ledger     recon/table-1/PCGrad + Recon/left.accuracy    (data/published, reports/verdict.json)
    an experiment              multi_mnist-pcgrad                            (params.yaml)
    a cell of our tables       multi_mnist-pcgrad/left.accuracy              (reports/metrics.json)

Nothing is trained, fetched or written. What a fresh clone does not have (MLflow's store, runs/) is said to be missing.

Examples:
    gradsurgery-why sam_gs/toy1-all-solved
    gradsurgery-why cagrad_toy-cagrad-c0_5
    gradsurgery-why multi_fashion_mnist-sum/left.accuracy
"""

import argparse
import contextlib
import dataclasses
import difflib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gradsurgery.reporting.published import Record
from pipelines.report import read_json, read_papers

Line = tuple[str, str]


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
    verdict = root / "reports/verdict.json"
    return Checkout(
        root=root,
        records={record.id: record for paper in papers for record in paper.records},
        metrics=read_json(root / "reports/metrics.json"),
        verdicts=read_json(verdict) if verdict.exists() else {},
    )


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
        return [*cell, *_experiment(experiment, checkout)]
    if name in checkout.metrics:
        return _experiment(name, checkout)
    known = [*checkout.records, *checkout.metrics, *checkout.cells]
    lower = {each.lower(): each for each in known}
    near = [lower[each] for each in difflib.get_close_matches(name.lower(), list(lower), n=4, cutoff=0.5)]
    near = near or [each for each in known if name.lower() in each.lower()][:4]
    hint = f"nearest: {'; '.join(near)}" if near else "see --help for what a name looks like"
    raise ValueError(f"`NAME` must be a record, an experiment or a cell, found {name!r}; {hint}.")


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
        lines += [("ours", f"{verdict['ours']}; {verdict['where']}"), ("because", verdict["why"] or "-")]
    lines += [("twin", record.twin)] if record.twin else []
    minus = f" minus {answer.minus}" if answer.minus else ""
    lines.append(("answered by", f"{answer.metric} of {answer.experiment}{minus}"))
    for name in filter(None, (answer.experiment, answer.minus)):
        lines += [("", ""), *_experiment(name, checkout)]
    return lines


def _published(record: Record) -> str:
    value = "no number printed" if record.value is None else f"{record.value:g}"
    spread = "" if record.spread is None else f" +- {record.spread:g} ({record.spread_kind})"
    seeds = "seeds not given" if record.seeds is None else f"{record.seeds} seeds"
    return f"{value}{spread}; {record.metric}; {seeds}; selection: {record.selection or 'not given'}"


def _experiment(name: str, checkout: Checkout) -> list[Line]:
    path = Path("reports/history") / f"{name}.jsonl"
    if not (checkout.root / path).exists():
        return [("experiment", name), ("history", f"none: no {path}")]
    content = (checkout.root / path).read_bytes()
    runs = [json.loads(line) for line in content.splitlines()]
    first, seeds = runs[0], [run["seed"] for run in runs]
    return [
        ("experiment", f"{name}, scale {first['scale']}, track {first['track']}, seeds {', '.join(map(str, seeds))}"),
        ("history", str(path)),
        *_commit(checkout.root, path),
        *_lock(checkout.root, name, first["problem"], path, hashlib.md5(content).hexdigest()),
        ("data", _data(first["data_sha256"])),
        *_environment(checkout.root, name),
        *_tracked(checkout.root, name),
    ]


def _data(found: str | Mapping[str, str]) -> str:
    return f"sha256 {found}" if isinstance(found, str) else "; ".join(f"{n} sha256 {v}" for n, v in found.items())


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def _commit(root: Path, path: Path) -> list[Line]:
    last = _git(root, "log", "-1", "--format=%H of %cs: %s", "--", str(path))
    changed = " (the file differs from it now)" if _git(root, "status", "--porcelain", "--", str(path)) else ""
    return [("commit", f"{last}{changed}" if last else "not committed")]


def _lock(root: Path, name: str, problem: str, path: Path, md5: str) -> list[Line]:
    """The stage that wrote the history, and whether its lock still says so."""
    for lock in (Path("pipelines") / problem / "dvc.lock", Path("dvc.lock")):
        if not (root / lock).exists():
            continue
        text = (root / lock).read_text(encoding="utf-8")
        stages = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)).get("stages") or {}
        key = name.removeprefix(f"{problem}-")
        stage = next((s for s in (f"train@{key}", f"sequel@{key}", f"train@{name}") if s in stages), None)
        if stage is None:
            continue
        locked = next((out["md5"] for out in stages[stage]["outs"] if out["path"].endswith(str(path))), None)
        same = "as the history here" if locked == md5 else f"but the history here has {md5}"
        inputs = {dep["path"]: dep["md5"] for dep in stages[stage].get("deps", [])}
        data = next((f"{dep}: md5 {value}" for dep, value in inputs.items() if "data/processed" in dep), "none")
        return [
            ("stage", f"{stage} of {lock.parent / 'dvc.yaml'}: {stages[stage]['cmd']}"),
            (str(lock.name), f"{lock}: history md5 {locked}, {same}"),
            ("depends on", f"{len(inputs)} locked inputs; data {data}"),
        ]
    return [("dvc.lock", f"no lock holds a stage of {name}")]


def _environment(root: Path, name: str) -> list[Line]:
    path = root / "reports/costs" / f"{name}.json"
    if not path.exists():
        return [("environment", "no record in reports/costs")]
    return [("environment", ", ".join(f"{k} {v}" for k, v in sorted(read_json(path)["environment"].items())))]


def _tracked(root: Path, name: str) -> list[Line]:
    """Its runs in MLflow, newest first; asking creates no store."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri and not (root / "mlflow.db").exists():
        return [("mlflow", "no store here (mlflow.db stays on the machine that trained)")]
    from pipelines._tracking import EXPERIMENT, store

    try:
        with contextlib.redirect_stderr(None):
            client = store(root.resolve())
            own = client.get_experiment_by_name(EXPERIMENT).experiment_id
            runs = client.search_runs([own], f"tags.experiment = '{name}'", order_by=["attributes.start_time DESC"])
    except Exception as error:  # whatever a tracker does wrong, the rest of the answer stands
        return [("mlflow", f"does not answer ({type(error).__name__})")]
    lines = [
        ("mlflow", f"run {r.info.run_id}, seed {r.data.tags.get('seed')}, {r.info.status.lower()}, at commit "
                   f"{r.data.tags.get('git_commit', 'unknown')}")
        for r in runs
    ]  # fmt: skip
    return lines or [("mlflow", "no run of this name in the store")]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 with one sentence for a name that nothing here has."""
    parser = argparse.ArgumentParser(
        prog="gradsurgery-why", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
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
