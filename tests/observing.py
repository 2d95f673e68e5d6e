"""Made-up histories that recorded their layers."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradsurgery.evidence.history import Run, parse

SIZES = [100, 2500, 400]
Runs = dict[str, list[Run]]
See = Callable[..., Runs]


def watch(record: dict[str, Any], cosine: float, null: float | None = None, sizes: list[int] = SIZES) -> None:
    """Adds nine steps of layers: cosines around `cosine`, shares of a curvature that grows by 1 a step, maybe nulls."""
    rng = np.random.default_rng([record["seed"], 7])
    L, rows = len(sizes), []
    record["diagnostics"] = record["diagnostics"][:9]
    for step, diagnosed in enumerate(record["diagnostics"]):
        noise = 0.01 * rng.standard_normal(L)
        shares = (1.0 + step) * np.arange(1, L + 1) / (L * (L + 1) / 2)
        row = {
            "step": diagnosed["step"], "mean_cosine": (cosine + noise).tolist(),
            "magnitude_similarity": [0.9] * L, "curvature": shares.tolist(),
        }  # fmt: skip
        if null is not None:
            row["null.same_task"] = (0.2 + 0.01 * rng.standard_normal(L)).tolist()
            row["null.cross_task"] = (0.2 + null * np.arange(L) + 0.01 * rng.standard_normal(L)).tolist()
        rows.append(row)
        diagnosed |= {"mean_cosine": cosine + float(noise.mean()), "curvature": float(shares.sum()) + record["seed"]}
    record["observed"] = {"names": [f"layer{i}" for i in range(L)], "sizes": sizes, "rows": rows}


@pytest.fixture
def see(made_up: Callable[..., dict]) -> See:
    """Runs by method from the cosine of each; `null` goes to lines of half batches, `edit` changes every record."""

    def build(
        cosines: dict[str, float], seeds: int = 4, null: float = 0.0, sizes: list[int] = SIZES,
        edit: Callable[[dict], Any] | None = None,
    ) -> Runs:  # fmt: skip
        made = {}
        for method, cosine in cosines.items():
            records = [made_up("p", method, seed, 0.0) for seed in range(seeds)]
            for record in records:
                watch(record, cosine, null if method.endswith("half_batches") else None, sizes)
                if edit is not None:
                    edit(record)
            made[method] = parse([json.dumps(record) for record in records], method)
        return made

    return build
