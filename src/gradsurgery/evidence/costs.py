"""`reports/costs/<experiment>.json` as the report sees it, checked on the way in (the format: docs/architecture.md)."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from gradsurgery.evidence.strict import loads

MACHINE = {"python": str, "torch": str, "platform": str, "processor": str, "device": str, "cores": int, "threads": int}
FIELDS = ("seconds", "step_ms", "steps", "backward_passes_per_step", "peak_memory_mb")


def seconds_per_seed(cost: Mapping[str, Any]) -> float:
    """Mean over the seeds that were run."""
    seconds = [float(seed["seconds"]) for seed in cost["seeds"].values()]
    return sum(seconds) / len(seconds)


def written_of(costs: Mapping[str, Any], seed: int) -> tuple[str, ...]:
    """The hashes of one run's line as it was written: of its numbers, and of its settings. () where there are none."""
    own = costs["seeds"].get(str(seed), {})
    parts = costs.get("fingerprints", {}).get(own.get("fingerprint"), {})
    return (own["numbers"], parts["settings"]) if "numbers" in own and "settings" in parts else ()


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
    if not isinstance(found, dict) or not isinstance(found.get("seeds"), dict) or not found["seeds"]:
        raise ValueError("`seeds` must be a block of at least one seed, found none.")
    if found.get("experiment") != experiment:
        raise ValueError(f"`experiment` must be {experiment!r}, found {found.get('experiment')!r}.")
    if not isinstance(found.get("environment"), dict):
        raise ValueError(f"`environment` must be a block of named values, found {found.get('environment')!r}.")
    for name, value in found["environment"].items():
        if isinstance(value, dict | list) or (name in MACHINE and not isinstance(value, MACHINE[name])):
            raise ValueError(f"`environment.{name}` must be a text or a count, found {value!r:.40}.")
        if name in MACHINE and not isinstance(value, str) and value < 1:
            raise ValueError(f"`environment.{name}` must be from 1 on, found {value!r}.")
    if missing := sorted(MACHINE.keys() - found["environment"].keys()):
        raise ValueError(f"`environment.{missing[0]}` must be given, found nothing.")
    for seed, cost in found["seeds"].items():
        check(cost, f"seeds.{seed}")
    if seeds is not None and (odd := sorted({str(s) for s in seeds} ^ set(found["seeds"]))):
        raise ValueError(f"`seeds` must be those of its history, found seed {odd[0]} in one only.")
    return found


def check(cost: Any, where: str) -> None:
    """Refuses what is not the cost of one seed: five numbers from 0 on."""
    if not isinstance(cost, dict):
        raise ValueError(f"`{where}` must be a block of named values, found {cost!r}.")
    for name in FIELDS:
        value = cost.get(name)
        if type(value) is bool or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
            raise ValueError(f"`{where}.{name}` must be a number from 0 on, found {value!r}.")
