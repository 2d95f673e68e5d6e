"""Cosines beside cosines that hold no conflict of tasks: a row by hand, and words that follow the interval."""

from typing import Any

import pytest

from gradsurgery.evidence import controls
from gradsurgery.report.nulls import sentence as null_sentence
from gradsurgery.report.papers.controls import section
from tests.evidence.test_controls import Make, lines
from tests.histories import evidence_of


@pytest.mark.parametrize(("same", "word"), [(0.9, "agree less"), (-0.9, "agree more"), (None, "Inconclusive")])
def test_the_null_of_half_batches(experiments: Make, same: float | None, word: str) -> None:
    def measure(record: dict[str, Any]) -> None:
        for i, row in enumerate(record["diagnostics"]):
            cross = row["mean_cosine"] / 2
            row["null.cross_task"], row["null.random_sd"] = cross, 0.01
            row["null.same_task"] = cross + (-1) ** (record["seed"] + i // 7) * 0.01 if same is None else same

    groups = experiments({"sum-half_batches": 0.0}, seeds=3, edit=measure)
    gap = controls.half_batches(lines(groups))
    assert gap is not None
    assert word in null_sentence(gap)
    made = section(evidence_of(groups))
    assert made is not None
    table = made.sheets[0].frame
    assert table["gradients of"].tolist() == [
        "two tasks, whole batch (trained with sum)", "two tasks, one half of the batch each (trained with sum)",
        "one task, two halves of the batch (trained with sum)", "two random directions, P = 10,000 (computed)",
    ]  # fmt: skip
    assert table["n"][0] == "3 seeds, 90 steps"


def test_a_row_of_the_nulls_by_hand(experiments: Make) -> None:
    """Seeds' means are 0.1, 0.2, 0.3 and not their medians; the interval is over three seeds, the share over steps."""
    cosines = {0: [-0.2, -0.1, 0.6], 1: [-0.2, 0.2, 0.6], 2: [0.1, 0.2, 0.6]}

    def log(record: dict[str, Any]) -> None:
        rows = [{"step": i, "mean_cosine": c} for i, c in enumerate(cosines[record["seed"]])]
        null = {"null.cross_task": 0.4, "null.same_task": 0.5 + 0.1 * record["seed"]}
        record["diagnostics"] = [row | null for row in rows]

    made = section(evidence_of(experiments({"sum-half_batches": 0.0}, seeds=3, edit=log)))
    assert made is not None
    assert "(difference of mean cosines -0.200 [-0.448, +0.048], n = 3)" in made.found
    row = made.sheets[0].frame.iloc[0]
    assert row["mean cosine"] == "0.200 [-0.048, 0.448]"  # 0.2 +- 4.303 * 0.1 / sqrt 3
    assert (row["share below 0"], row["n"]) == ("0.33", "3 seeds, 9 steps")
