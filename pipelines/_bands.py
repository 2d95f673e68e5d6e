"""The block `regression` of params.yaml: how far a number may move on another machine."""

from collections.abc import Iterable, Mapping
from typing import Any

from gradsurgery.core.discovery import require
from gradsurgery.evidence.measures import KNOWN
from pipelines._blocks import fields, known, mapping


def check_regression(block: Any) -> None:
    """Refuses bands that are no non-negative numbers, and exceptions without a reason."""
    blocks = fields("regression", block, {"bands", "exceptions"})
    for word, band in mapping("regression.bands", blocks["bands"]).items():
        _check_band(f"regression.bands.{word}", band)
    for owner, words in mapping("regression.exceptions", blocks["exceptions"]).items():
        for word, entry in mapping(f"regression.exceptions.{owner}", words).items():
            where = f"regression.exceptions.{owner}.{word}"
            entry = fields(where, entry, {"band", "reason"})
            _check_band(f"{where}.band", entry["band"])
            require(f"{where}.reason", entry["reason"], str)
            if not entry["reason"].strip():
                raise ValueError(f"`{where}.reason` must be a text, found {entry['reason']!r}.")


def check_metrics(block: Mapping[str, Any], metrics: Mapping[str, Iterable[str]]) -> None:
    """Refuses bands that no number would ever be held to.

    Args:
        block: `regression`, checked.
        metrics: of every experiment and every problem, by name.
    """
    words = {owner: {"loss", *(name.rsplit(".", 1)[-1] for name in own)} for owner, own in metrics.items()}
    everything = sorted(set(KNOWN).union(*words.values()))
    for word in block["bands"]:
        known("regression.bands", word, everything)
    for owner, bands in block["exceptions"].items():
        known("regression.exceptions", owner, words)
        for word in bands:
            known(f"regression.exceptions.{owner}", word, sorted(words[owner]))


def _check_band(where: str, band: Any) -> None:
    require(where, band, float)
    if band < 0:
        raise ValueError(f"`{where}` must be a non-negative number, found {band!r}.")
