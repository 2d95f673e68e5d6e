"""What `evaluate` and `report` read: histories, published records, costs and studies, each checked."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.evidence.costs import is_as_written
from gradsurgery.evidence.costs import parse as parse_costs
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.history import parse as parse_history
from gradsurgery.evidence.scores import DEFAULT_RULE
from gradsurgery.evidence.study import Trial, check, parse
from gradsurgery.ledger.reading import read
from gradsurgery.ledger.records import Paper
from pipelines._files import about, as_json, named, read_json, read_text, read_yaml


def read_histories(folder: Path) -> dict[str, list[Run]]:
    """Every history under `folder`, by experiment. Raises ValueError, naming the file, for one that is malformed or
    does not belong with the others."""
    runs = {}
    for path in sorted(folder.rglob("*.jsonl"), key=lambda path: path.stem):
        text = read_text(path, _again(path))
        with about(path, _again(path)):
            runs[path.stem] = parse_history(text.splitlines(), str(path))
            if (found := runs[path.stem][0].experiment) != path.stem:
                raise ValueError(f"{path}:1: `experiment` must be {path.stem!r}, found {found!r}.")
    if not runs:
        raise ValueError(f"{folder} must hold at least one history (*.jsonl), found none: run `train` first.")
    check_together(runs, folder)
    return runs


def _again(path: Path) -> str:
    return f"remove it and run `python -m pipelines.train {path.stem}`, or restore it (`git checkout {path}`)"


def read_runs(root: Path, scale: str) -> tuple[dict[str, list[Run]], dict[str, Any]]:
    """Every history of one scale and what it cost, by experiment. Raises ValueError, naming the file, where one lacks
    the other, or a line of a history is not as `train` wrote it."""
    histories, kept = (root / "reports" / kind / scale for kind in ("history", "costs"))
    groups, costs = read_histories(histories), dict[str, Any]()
    paths = {path.stem: path for path in kept.rglob("*.json")}
    for name in sorted({*groups, *paths}):
        path = paths.get(name, kept / f"{name}.json")
        if name not in groups:
            raise ValueError(f"{path} must have a history beside it, found none: remove it.")
        remedy = f"run `python -m pipelines.train {name}`, or restore it (`git checkout {path}`)"
        with about(path, remedy):
            costs[name] = parse_costs(read_text(path, remedy), name, [run.seed for run in groups[name]])
        for run in groups[name]:
            if not is_as_written(costs[name], run.seed, run.written):
                own = next(histories.rglob(f"{name}.jsonl"))
                raise ValueError(
                    f"{own}: seed {run.seed} must be as it was written, by the hashes in {path}: {_again(own)}."
                )
    return groups, costs


def check_together(runs: Mapping[str, Sequence[Run]], folder: Path) -> None:
    """Refuses histories that cannot be compared: all have one scale, a problem's also tasks, metrics and data."""
    firsts = {
        name: {
            "scale": run.scale, "tasks": run.tasks, "metrics": run.metrics, "data_sha256": run.data_sha256,
            "trajectory": "null" if run.trajectory is None else "given",
        }
        for name, (run, *_) in runs.items()
    }  # fmt: skip
    for field in ("scale", "tasks", "metrics", "data_sha256", "trajectory"):
        groups: dict[str, list[str]] = {}
        for name, group in runs.items():
            groups.setdefault("" if field == "scale" else group[0].problem, []).append(name)
        for names in groups.values():
            told = {name: as_json(firsts[name][field]) for name in names}
            usual, _ = Counter(told.values()).most_common(1)[0]
            for name, found in told.items():
                if found != usual:
                    other = next(n for n in names if told[n] == usual)
                    raise ValueError(
                        f"{next(folder.rglob(f'{name}.jsonl'))}: `{field}` must be that of {other}, {usual:.60}, "
                        f"found {found:.60}: run `python -m pipelines.train {name}` again."
                    )


def read_papers(folder: Path) -> list[Paper]:
    """The published records, by year. Raises ValueError, naming the file, for a malformed one or a paper's second."""
    papers: dict[str, Path] = {}
    found = []
    for path in sorted(folder.glob("*.yaml")):
        remedy = f"mend it, or restore it (`git checkout {path}`)"
        try:
            paper = read(read_yaml(path, remedy))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            said = (
                str(error)
                if isinstance(error, ValueError)
                else f"an entry is missing or of the wrong kind ({str(error).splitlines()[0]})"
            )
            raise ValueError(named(path, ValueError(said), remedy)) from None
        if paper.key in papers:
            raise ValueError(f"{path}: `key` must be a paper's own, found {paper.key!r} of {papers[paper.key]} again.")
        papers[paper.key] = path
        found.append(paper)
    return sorted(found, key=lambda paper: (paper.year, paper.key))


def read_studies(folder: Path, rules: Mapping[str, str]) -> dict[str, list[Trial]]:
    """What `make study` left, by problem; nothing where it never ran. Raises ValueError, naming the file, for a study
    that is not as it was written or did not keep its own terms under its problem's selection rule."""
    found = {}
    for path in sorted(folder.glob("*.jsonl")):
        remedy = f"restore it (`git checkout {path}`), or remove it and run `make study`"
        text, costs = read_text(path, remedy), read_json(study_costs(path), remedy)
        with about(path, remedy):
            check_study(path, text, costs)
            found[path.stem] = parse(text.splitlines(), str(path))
            check(found[path.stem], rules.get(path.stem, DEFAULT_RULE))
    return found


def check_study(path: Path, text: str, costs: Any) -> None:
    """Refuses lines that are not as they were written."""
    if not isinstance(costs, dict) or costs.get("sha256") != sha256_of(text):
        raise ValueError(f"a study must be as it was written, by the hash in {study_costs(path)}")


def study_costs(path: Path) -> Path:
    """Where the seconds of a study's trials and the hash of its lines stand."""
    return path.parent / "costs" / f"{path.stem}.json"


def sha256_of(text: str) -> str:
    """Of a study's lines."""
    return hashlib.sha256(text.encode()).hexdigest()
