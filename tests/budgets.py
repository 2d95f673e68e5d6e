"""Made-up lines and costs of one problem whose sum was run longer too."""

from collections.abc import Callable, Mapping
from typing import Any

from gradsurgery.evidence.history import Run
from tests.histories import as_run, image_run, role_of

OWN, LONG = 2, 4


def runs(
    shifts: Mapping[str, float], seeds: int = 3, edit: Callable[[dict[str, Any]], Any] = lambda _: None
) -> dict[str, list[Run]]:
    """The long sum gains from every epoch; the methods have two epochs, it has four."""
    made: dict[str, list[Run]] = {}
    for method, shift in shifts.items():
        for seed in range(seeds):
            long = method.startswith("sum-")
            record = image_run("p", "sum" if long else method, seed, shift, LONG if long else OWN)
            record |= {"experiment": f"p-{method}", "role": role_of(method)}
            record["declaration"]["settings"]["epochs"] = LONG if long else OWN
            record["track"] = "reference" if long else "controlled"
            edit(record)
            made.setdefault(method, []).append(as_run(record))
    return made


def costs(seconds: Mapping[str, float], passes: float = 2) -> dict[str, Any]:
    return {
        f"p-{m}": {"seeds": {"0": {"step_ms": s, "backward_passes_per_step": 1 if m.startswith("sum") else passes}}}
        for m, s in seconds.items()
    }


SHIFTS = {"sum": 0.0, "sum-long": 0.0, "pcgrad": 0.0, "cagrad-c0_5": 0.2}
SECONDS = {"sum": 10.0, "sum-long": 20.0, "pcgrad": 15.0, "cagrad-c0_5": 12.0}
