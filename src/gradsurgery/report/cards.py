"""What the data are: the sets with their licences and who uses them, and every problem's data card."""

import importlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from gradsurgery.core.discovery import available
from gradsurgery.evidence.groups import Groups, of
from gradsurgery.report.sources import Sources
from gradsurgery.report.titles import title


def data(sources: Sources) -> dict[str, Any]:
    """The table of data sets and a card for every module of problems with data."""
    groups, problems, declared = sources.groups, sources.data, sources.declared
    rows = []
    for key, entry in sorted(sources.datasets.items()):
        users = [title(p) for p in problems if key in declared.get(p, {}).get("prepare", {}).values()]
        rows.append({
            "data set": entry.get("title", key), "licence": entry.get("licence", "-"),
            "arrays pinned by sha256": len(entry.get("arrays", {})), "used by": ", ".join(users) or "-",
        })  # fmt: skip
    modules: dict[str, list[str]] = {}
    for problem in problems:
        run = next(iter(of(groups, problem).values()))[0]
        modules.setdefault(run.declaration.get("module", ""), []).append(problem)
    cards = [
        {"title": ", ".join(title(p) for p in own), "text": card, "hashes": _hashes(groups, own)}
        for module, own in sorted(modules.items()) if (card := _card(module))
    ]  # fmt: skip
    return {
        "table": pd.DataFrame(rows, columns=["data set", "licence", "arrays pinned by sha256", "used by"]),
        "cards": cards,
    }


def _card(module: str) -> str:
    if module not in available("problems"):
        return ""
    return str(vars(importlib.import_module(f"gradsurgery.problems.{module}")).get("DATA_CARD", ""))


def _hashes(groups: Groups, problems: Sequence[str]) -> str:
    """The data that the runs really read, by problem, as the first digits of their hash."""
    said = []
    for problem in problems:
        seen = {str(run.data_sha256)[:12] for group in of(groups, problem).values() for run in group}
        said.append(f"{title(problem)} {', '.join(sorted(seen))}")
    return "; ".join(said)
