"""Made-up studies: trials of a search and their winners on fresh seeds, whose best trial is known."""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from gradsurgery.evidence.study import Trial, parse
from tests.histories import with_examples

Record = dict[str, Any]
METHODS = {"sum": 0.0, "static": 0.01, "pcgrad": 0.01, "cagrad-c0_5": 0.05}
FRESH = (1, 2, 3)


def record(
    kind: str, method: str, trial: int, seed: int, level: float, tasks: int = 2, problem: str = "multi_fashion_mnist",
    failed: bool = False, test: float | None = None, weights: list[float] | None = None,
) -> Record:  # fmt: skip
    """A trial whose tasks all end at `level`, or trade it by their weights."""
    names = [f"task{k}" for k in range(tasks)]
    shares = weights or [1.0 / tasks] * tasks
    noise = 0.002 * np.random.default_rng([trial, seed, len(method)]).standard_normal(tasks)
    row: Record = {"epoch": 1}
    for name, share, wobble in zip(names, shares, noise, strict=True):
        gain = 0.2 * (1.0 - tasks * (1.0 / tasks - share) ** 2) * (share * tasks) ** 0.5 - 0.2
        row |= {f"val.{name}.accuracy": level + gain + wobble, f"train.{name}.loss": 1.0}
        row |= {f"test.{name}.accuracy": (level if test is None else test) + gain + wobble}
    own = {"name": "static", "weights": shares} if method.startswith("static") else {"name": "equal"}
    settings = {"lr": 0.001 * (1 + trial), "weight_decay": 1e-4 * trial, "epochs": 1, "network": {"name": "lenet"}}
    return {
        "experiment": f"{problem}-{method}", "problem": problem, "seed": seed, "scale": "smoke", "track": "controlled",
        "family": "baselines", "role": {"kind": "baseline"},
        "declaration": {"balancer": own, "aggregator": {"name": method.split("-")[0]}, "settings": settings},
        "tasks": names, "metrics": {f"{name}.accuracy": True for name in names}, "data_sha256": "0" * 64,
        "epochs": [] if failed else [row], "diagnostics": [], "skipped_steps": 0, "trajectory": None, "layers": None,
        "test_rows": 4000, "kind": kind, "method": method, "trial": trial, "fingerprint": "f", "failed": failed,
    }  # fmt: skip


def study(tasks: int = 2, trials: int = 4, levels: dict[str, float] = METHODS, **more: Any) -> list[Record]:
    """Trial 2 of every method is its best."""
    made = [
        record("search", m, n, 0, 0.7 + shift + 0.01 * (n == 2) - 0.01 * (n == 3), tasks, **more)
        for m, shift in levels.items() for n in range(trials)
    ]  # fmt: skip
    return made + [record("winner", m, 2, s, 0.71 + v, tasks, **more) for m, v in levels.items() for s in FRESH]


def read(records: list[Record]) -> list[Trial]:
    trials = parse([json.dumps(r, sort_keys=True) for r in records], "made up")
    return [replace(t, run=with_examples(t.run, 4000) if t.run and t.kind != "search" else t.run) for t in trials]


def changed(records: list[Record], kind: str, method: str, number: int, **fields: Any) -> list[Record]:
    return [r | fields if (r["kind"], r["method"], r["trial"]) == (kind, method, number) else r for r in records]
