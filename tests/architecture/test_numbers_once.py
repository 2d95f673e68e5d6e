"""A number is computed once, by `evaluate`: the report takes records from `evidence`, and how to print them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPORT = sorted((ROOT / "src/gradsurgery/report").rglob("*.py"))

COUNTED = ("gradsurgery.evidence", "gradsurgery.core.metrics")
# Modules of records, and of what is said and not computed.
RECORDS = {"groups", "history", "measures", "roles"}
# Names of other modules: dataclasses, constants, and how a record is put in words.
NAMES = {
    "ALONE", "BASELINE", "BETTER", "BUDGETS", "Budget", "COSINE", "CROSS_TASK", "CURVATURE", "Compared", "Comparison",
    "Contrast",
    "Contrasts", "DEFAULT_RULE", "Dose", "EFFECTS", "FAIR", "Front", "LEVEL", "METHODS", "Measured", "Null",
    "Observed", "Profile", "REFERENCE", "Ranking", "Repeat", "Runs", "SAME_TASK", "SIMILARITY", "STATIC", "SUM",
    "Searched", "Share", "Summary", "TAUS", "Trial", "WORSE", "back", "conflicting", "data_set", "record",
    "significant", "split", "told",
}  # fmt: skip
# What still computes: courses of a figure, from histories. Names may be removed, none may be added.
COMPUTING = {
    "report/blocks/layers.py": {"layer_shares", "scored", "summarise", "threshold"},
    "report/controlled.py": {"score"},
    "report/observatory.py": {"observing"},
    "report/observed_figures.py": {
        "Layered", "excess", "has_null", "names", "over_training", "random_sd", "values",
    },
    "report/marks.py": {"summarise"},
    "report/papers/study.py": {"searched"},
}  # fmt: skip


def taken(path: Path) -> set[str]:
    """Names that a module imports from `evidence`, but for modules of records, and from the metrics of `core`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(COUNTED):
            module = (node.module or "").removeprefix("gradsurgery.evidence").lstrip(".")
            if module not in RECORDS:
                found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", REPORT, ids=lambda path: str(path.relative_to(ROOT / "src/gradsurgery")))
def test_the_report_takes_records_and_computes_nothing(path: Path) -> None:
    name = str(path.relative_to(ROOT / "src/gradsurgery"))
    assert taken(path) - NAMES <= COMPUTING.get(name, set())


def test_the_list_of_what_computes_names_only_what_does() -> None:
    for name, names in COMPUTING.items():
        assert names <= taken(ROOT / "src/gradsurgery" / name), name
