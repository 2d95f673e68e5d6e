"""The data sets that could not be had: `fetch` writes them down, and every later stage leaves their problems out."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.core.extras import need
from pipelines._files import read_json, replace

SKIPPED = Path("reports/skipped.json")
REQUIRED = "GRADSURGERY_REQUIRE_DATA"  # environment: what `--require-data` says, also to stages that DVC starts


@dataclasses.dataclass(frozen=True)
class Missing:
    """A data set that could not be had: why, a reason for every source, and the problems and lines that it takes."""

    dataset: str
    reasons: tuple[str, ...]
    problems: tuple[str, ...]
    experiments: tuple[str, ...]


def keep(missing: Sequence[Missing]) -> None:
    """Writes them down; also that there are none."""
    document = {one.dataset: {k: v for k, v in vars(one).items() if k != "dataset"} for one in missing}
    replace(SKIPPED, json.dumps(document, indent=1, sort_keys=True))


def read(root: Path = Path()) -> list[Missing]:
    """What was written down. Raises ValueError for a file that says something else."""
    path = root / SKIPPED
    found = read_json(path, "remove it") if path.exists() else {}
    try:
        return [_one(dataset, entry) for dataset, entry in sorted(found.items())]
    except (TypeError, AttributeError, LookupError):
        raise ValueError(f"{path} must hold data sets with their reasons, found {found!r:.40}: remove it.") from None


def uninstalled(datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """By data set whose problems cannot be trained here for want of a package, why: its data alone are of no use."""
    absent = {}
    for name, own in datasets.items():
        try:
            for extra, modules in own.get("needs", {}).items():
                need(extra, *modules)
        except ImportError as error:
            absent[name] = [f"package {error}".rstrip(".")]
    return absent


def problems_without(missing: Sequence[Missing]) -> list[str]:
    """The problems that cannot be prepared or trained here."""
    return sorted({problem for one in missing for problem in one.problems})


def refuse(missing: Sequence[Missing], required: bool) -> None:
    """Raises ValueError where a data set is missing that the user says must be there."""
    if missing and (required or os.environ.get(REQUIRED)):
        names = ", ".join(one.dataset for one in missing)
        raise ValueError(f"`--require-data` needs every data set, found none of {names}: {SKIPPED} says why.")


def _one(dataset: str, entry: Mapping[str, Any]) -> Missing:
    fields = ("reasons", "problems", "experiments")
    if not all(isinstance(text, str) for field in fields for text in [dataset, *entry[field]]):
        raise TypeError
    return Missing(dataset, *(tuple(entry[field]) for field in fields))
