"""What `evaluate` and `report` read beside the histories: published records, costs and studies, each checked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.evidence.costs import parse as parse_costs
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.scores import DEFAULT_RULE
from gradsurgery.evidence.study import Trial, check, parse
from gradsurgery.ledger.reading import read
from gradsurgery.ledger.records import Paper
from pipelines._files import named, read_text, read_yaml


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


def read_costs(folder: Path, groups: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """What every experiment cost. Raises ValueError, naming the file, where one lacks or does not fit its history."""
    found, paths = {}, {path.stem: path for path in folder.rglob("*.json")}
    for name in sorted({*groups, *paths}):
        path = paths.get(name, folder / f"{name}.json")
        if name not in groups:
            raise ValueError(f"{path} must have a history beside it, found none: remove it.")
        remedy = f"run `python -m pipelines.train {name}`, or restore it (`git checkout {path}`)"
        try:
            found[name] = parse_costs(read_text(path, remedy), name, [run.seed for run in groups[name]])
        except ValueError as error:
            raise ValueError(named(path, error, remedy)) from None
    return found


def read_studies(folder: Path, rules: Mapping[str, str]) -> dict[str, list[Trial]]:
    """What `make study` left, by problem; nothing where it never ran. Raises ValueError, naming the file, for a line
    that is malformed or a study that did not keep its own terms under its problem's selection rule."""
    found = {}
    for path in sorted(folder.glob("*.jsonl")):
        remedy = f"restore it (`git checkout {path}`), or remove it and run `make study`"
        try:
            found[path.stem] = parse(read_text(path, remedy).splitlines(), str(path))
            if not found[path.stem]:
                raise ValueError("a study must hold at least one trial, found an empty file")
            check(found[path.stem], rules.get(path.stem, DEFAULT_RULE))
        except ValueError as error:
            raise ValueError(named(path, error, remedy)) from None
    return found
