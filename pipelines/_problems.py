"""The block `problems` of params.yaml: what is held fixed when methods are compared, and the methods that run on it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gradsurgery.core.discovery import available, make, preparation
from gradsurgery.evidence.contract import TRACK
from gradsurgery.evidence.history_parts import TRACKS
from gradsurgery.evidence.selection import FAIR, RULES
from pipelines._blocks import fields, known, mapping, merged, named, seed_list, whole_blocks

SCALES = ("smoke", "laptop", "paper")
SLOTS = {"network": "networks", "transform": "transforms", "balancer": "balancers", "rule": "rules",
         "aggregator": "aggregators"}  # fmt: skip
_DEFAULTS = {"transform": {"name": "identity"}, "balancer": {"name": "equal"}, "rule": {"name": "joint"},
             "aggregator": {"name": "sum"}}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Problem:
    """What stages read of one problem, at the scale in force.

    Attributes:
        lines: what each line says itself, by method.
        parts: fillers of the slots, where no line says another.
    """

    module: str
    prepare: Mapping[str, Any]
    sha256: Mapping[str, str]
    selection: str
    track: str
    lines: Mapping[str, Any]
    seeds: tuple[int, ...]
    learner: Mapping[str, Any]
    parts: Mapping[str, Any]
    settings: Mapping[str, Any]


def read_problems(table: Any, datasets: Mapping[str, Any], pins: Mapping[str, Any], scale: str) -> dict[str, Problem]:
    """Raises ValueError for the first thing, at whatever scale, that is missing, unknown or of the wrong kind."""
    return {
        name: _read(f"problems.{name}", block, datasets, pins.get(name, {}), scale)
        for name, block in whole_blocks("problems", table).items()
    }


def read_selections(table: Any) -> dict[str, str]:
    """The selection rule of every problem, for who reads nothing else. Raises ValueError for one that is unknown."""
    return {name: _selection(f"problems.{name}", block) for name, block in whole_blocks("problems", table).items()}


def _selection(where: str, block: Mapping[str, Any]) -> str:
    return known(f"{where}.selection", block.get("selection", FAIR[0]), RULES)


def _read(where: str, block: Any, datasets: Mapping[str, Any], pins: Mapping[str, str], scale: str) -> Problem:
    fields(
        where, block, {"module", "prepare", "network", "methods"}, {*SLOTS, *SCALES, "settings", "track", "selection"}
    )
    module = known(f"{where}.module", block["module"], available("problems"))
    prepare = mapping(f"{where}.prepare", block["prepare"])
    for side in sorted({"left", "right"} & prepare.keys()):
        known(f"{where}.prepare.{side}", prepare[side], datasets)
    try:
        make(preparation(module), "prepare", prepare)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    track = known(f"{where}.track", block.get("track", TRACK), TRACKS)
    lines = named(f"{where}.methods", block["methods"])
    at = {each: _at(where, block, each) for each in SCALES}
    return Problem(module, prepare, pins, _selection(where, block), track, lines, *at[scale])


def _at(
    where: str, block: Mapping[str, Any], scale: str
) -> tuple[tuple[int, ...], Any, dict[str, Any], dict[str, Any]]:
    """Seeds, learner, parts and settings at one scale."""
    said = [mapping(f"{where}.{name}", block.get(name, {})) for name in ("settings", scale)]
    values = {**said[0], **said[1]}
    if "seeds" not in values:
        raise ValueError(f"`{where}.settings` or `{where}.{scale}` must hold `seeds`, found none.")
    seeds = seed_list(f"{where}.{scale}.seeds", values.pop("seeds"))
    learner = mapping(f"{where}.{scale}.learner", values.pop("learner", {}))
    network = mapping(f"{where}.{scale}.network", values.pop("network", {}))
    parts = merged(_DEFAULTS, {slot: mapping(f"{where}.{slot}", block[slot]) for slot in SLOTS if slot in block})
    for shared in sorted(values.keys() & block["prepare"].keys()):
        if values[shared] != block["prepare"][shared]:
            raise ValueError(
                f"`{where}.{scale}.{shared}` must be that of `{where}.prepare`, {block['prepare'][shared]!r}, "
                f"found {values[shared]!r}."
            )
    return seeds, learner, merged(parts, {"network": network}), values
