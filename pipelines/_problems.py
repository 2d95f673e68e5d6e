"""The block `problems` of params.yaml: what is held fixed when methods are compared, and the methods that run on it."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from gradsurgery.core.discovery import available, make, preparation
from gradsurgery.evidence.contract import TRACK
from gradsurgery.evidence.history import TRACKS
from gradsurgery.evidence.selection import FAIR, RULES
from pipelines._blocks import fields, known, mapping, merged, named, seed_list, whole, whole_blocks

SCALES = ("smoke", "laptop", "overnight", "paper")
LONG = ("overnight", "paper")  # scales whose runs take hours: what is committed of them is not made again
CHOSEN = "overnight"  # the scale at which a problem without a block of that name is not run
SIDES = {"left", "right"}  # of `prepare`, where a data set is named
FRESH = 1000  # seeds from here on are confirmatory; those below, of tuning and of exploratory runs
MOST_SEEDS = 1000  # more is a slip
SLOTS = {"network": "networks", "transform": "transforms", "balancer": "balancers", "rule": "rules",
         "aggregator": "aggregators"}  # fmt: skip
_DEFAULTS = {"transform": {"name": "identity"}, "balancer": {"name": "equal"}, "rule": {"name": "joint"},
             "aggregator": {"name": "sum"}}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Problem:
    """What stages read of one problem, at the scale in force.

    Attributes:
        selection: rule of the epoch at this scale.
        lines: what each line that is run at this scale says itself, by method.
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

    @property
    def sources(self) -> set[str]:
        """The data sets that it is made of."""
        return {self.prepare[side] for side in SIDES & self.prepare.keys()}


def read_problems(
    table: Any, datasets: Mapping[str, Any], pins: Mapping[str, Any], scale: str, first: int = FRESH
) -> dict[str, Problem]:
    """The problems that are run at a scale; `first` is the first of the fresh seeds, of which `seeds` may give a count.

    Raises ValueError for the first thing, at whatever scale, that is missing, unknown or of the wrong kind.
    """
    return {
        name: _read(f"problems.{name}", block, datasets, pins.get(name, {}), scale, first)
        for name, block in whole_blocks("problems", table).items()
        if is_run(block, scale)
    }


def is_run(block: Mapping[str, Any], scale: str) -> bool:
    """Whether a problem is run at a scale: not where its block of that scale is null, nor at `CHOSEN` without one."""
    return block.get(scale, None if scale == CHOSEN else {}) is not None


def read_selections(table: Any, scale: str) -> dict[str, str]:
    """The selection rule of every problem, for who reads nothing else. Raises ValueError for one that is unknown."""
    return {
        name: _selection(f"problems.{name}", block, scale) for name, block in whole_blocks("problems", table).items()
    }


def _selection(where: str, block: Mapping[str, Any], scale: str) -> str:
    at = mapping(f"{where}.{scale}", block.get(scale) or {})
    inner = f"{where}.{scale}.selection" if "selection" in at else f"{where}.selection"
    rule = known(inner, at.get("selection", block.get("selection", FAIR[0])), RULES)
    if (
        rule not in FAIR and scale != "paper" and block.get("track", TRACK) == TRACK
    ):  # there a paper's own rule may stand
        raise ValueError(f"`{inner}` must be one of {', '.join(FAIR)}, found {rule!r}, which looks at the test set.")
    return rule


def _read(
    where: str, block: Any, datasets: Mapping[str, Any], pins: Mapping[str, str], scale: str, first: int
) -> Problem:
    fields(
        where, block, {"module", "prepare", "network", "methods"}, {*SLOTS, *SCALES, "settings", "track", "selection"}
    )
    module = known(f"{where}.module", block["module"], available("problems"))
    prepare = mapping(f"{where}.prepare", block["prepare"])
    for side in sorted(SIDES & prepare.keys()):
        known(f"{where}.prepare.{side}", prepare[side], datasets)
    try:
        make(preparation(module), "prepare", prepare)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    track = known(f"{where}.track", block.get("track", TRACK), TRACKS)
    lines = named(f"{where}.methods", block["methods"])
    at = {each: _at(where, block, each, first) for each in SCALES if is_run(block, each)}
    rules = {each: _selection(where, block, each) for each in SCALES}
    for each, (_, _, _, settings) in at.items():
        if rules[each] == "best-val" and not settings.get("hold_out", True):
            raise ValueError(
                f"`{where}.{each}.selection` must not be best-val where hold_out = false: what chooses is trained on."
            )
    return Problem(module, prepare, pins, rules[scale], track, _run_at(where, block, scale, lines), *at[scale])


def _run_at(where: str, block: Mapping[str, Any], scale: str, lines: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the lines that the block of a scale names in `methods`, or all of them."""
    at = block.get(scale) or {}
    if "methods" not in at:
        return dict(lines)
    wanted = at["methods"]
    if not isinstance(wanted, list) or not wanted:
        raise ValueError(f"`{where}.{scale}.methods` must be a list of its lines, found {wanted!r:.60}.")
    for name in wanted:
        known(f"{where}.{scale}.methods", name, lines)
    return {name: own for name, own in lines.items() if name in wanted}


def _at(
    where: str, block: Mapping[str, Any], scale: str, first: int
) -> tuple[tuple[int, ...], Any, dict[str, Any], dict[str, Any]]:
    """Seeds, learner, parts and settings at one scale."""
    said = [mapping(f"{where}.{name}", block.get(name, {})) for name in ("settings", scale)]
    values = {k: v for k, v in {**said[0], **said[1]}.items() if k not in ("methods", "selection")}
    if "seeds" not in values:
        raise ValueError(f"`{where}.settings` or `{where}.{scale}` must hold `seeds`, found none.")
    seeds = read_seeds(f"{where}.{scale}.seeds", values.pop("seeds"), first, scale)
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


def read_seeds(where: str, value: Any, first: int, scale: str) -> tuple[int, ...]:
    """A list of seeds, or a `count` of fresh ones. Raises ValueError, also for fresh ones at a scale of tuning."""
    if isinstance(value, dict):
        count = whole(f"{where}.count", fields(where, value, {"count"})["count"], 1, MOST_SEEDS)
        value = list(range(first, first + count))
    seeds = seed_list(where, value)
    check_spent(where, seeds if scale not in LONG else (), first)
    return seeds


def check_spent(where: str, seeds: Iterable[int], first: int) -> None:
    """Refuses a confirmatory seed where settings are chosen."""
    if used := sorted(seed for seed in seeds if seed >= first):
        raise ValueError(f"`{where}` must lie below {first}, from where on seeds are confirmatory, found {used[0]}.")
