"""`reports/costs/<experiment>.json` as the report sees it, checked on the way in (the format: docs/architecture.md)."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gradsurgery.core.discovery import require
from gradsurgery.evidence.strict import loads

MACHINE = {"python": str, "torch": str, "platform": str, "processor": str, "device": str, "cores": int, "threads": int}
FIELDS = ("seconds", "step_ms", "steps", "backward_passes_per_step", "peak_memory_mb")


def seconds_per_seed(cost: Mapping[str, Any]) -> float:
    """Mean over the seeds that were run."""
    return _mean(cost, "seconds")


def steps_per_seed(cost: Mapping[str, Any]) -> float:
    """Optimiser steps, mean over the seeds that were run."""
    return _mean(cost, "steps")


def _mean(cost: Mapping[str, Any], name: str) -> float:
    found = [float(seed[name]) for seed in cost["seeds"].values()]
    return sum(found) / len(found)


def is_as_written(costs: Mapping[str, Any], seed: int, written: tuple[str, ...]) -> bool:
    """Whether the hashes of one run's line (`Run.written`) are those beside its costs. That of its settings stands in
    its fingerprint, which is taken away where a run is to be made again: then its numbers alone are held to theirs."""
    own = costs["seeds"].get(str(seed), {})
    parts = costs.get("fingerprints", {}).get(own.get("fingerprint"), {})
    numbers, settings = written
    return bool(own.get("numbers") == numbers and parts.get("settings", settings) == settings)


def parse(text: str, experiment: str, seeds: Iterable[int] | None = None) -> dict[str, Any]:
    """The costs of one experiment.

    Args:
        text: of the file.
        experiment: whose costs they must be.
        seeds: those of its history, which the costs must hold and no others; None where nothing is to be held to them.

    Raises:
        ValueError: for anything that is not what `train` writes.
    """
    try:
        found = loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"costs must be JSON, found {error.msg} in line {error.lineno}.") from None
    require("costs", found, dict)
    require("seeds", found.get("seeds"), dict[str, dict])
    require("environment", found.get("environment"), dict[str, str | int])
    require("fingerprints", found.get("fingerprints", {}), dict[str, dict])
    if not found["seeds"]:
        raise ValueError("`seeds` must hold at least one seed, found none.")
    if found.get("experiment") != experiment:
        raise ValueError(f"`experiment` must be {experiment!r}, found {found.get('experiment')!r}.")
    for name, kind in MACHINE.items():
        require(f"environment.{name}", found["environment"].get(name), kind)
    for seed, cost in found["seeds"].items():
        for name in ("fingerprint", "numbers"):
            require(f"seeds.{seed}.{name}", cost.get(name, ""), str)
        for name in FIELDS:
            require(f"seeds.{seed}.{name}", cost.get(name), float)
            if cost[name] < 0:
                raise ValueError(f"`seeds.{seed}.{name}` must be a number from 0 on, found {cost[name]!r}.")
    if seeds is not None and (odd := sorted({str(s) for s in seeds} ^ set(found["seeds"]))):
        raise ValueError(f"`seeds` must be those of its history, found seed {odd[0]} in one only.")
    return found
