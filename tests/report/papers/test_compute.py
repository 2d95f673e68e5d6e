"""The section on cost: whether what a method takes pays, once the sum gets as much."""

import re

from gradsurgery.report.papers.compute import section
from tests.budgets import SECONDS, SHIFTS, costs, runs
from tests.histories import evidence_of


def test_the_section_says_whether_the_cost_pays() -> None:
    groups = {f"p-{m}": group for m, group in runs(SHIFTS).items()}
    found = section(evidence_of(groups, costs(SECONDS)))
    assert found is not None
    assert found.found.startswith("p: the extra cost pays for (CAGrad, c = 0.5). At equal epochs, ")
    assert re.search(
        r"At equal backward passes, better: \(CAGrad, c = 0\.5\) \(\+13.*; worse: PCGrad \(-6\.", found.found
    )
    assert "n = 3, the sum up to 4 epochs, selection best-val" in found.ran
    table = found.sheets[0].frame
    assert table["epochs of the sum, equal seconds"].tolist() == ["2", "3"]
    assert table["n"].tolist() == [3, 3]
    alone = {name: group for name, group in groups.items() if name != "p-cagrad-c0_5"}
    poor = section(evidence_of(alone, costs(SECONDS)))
    assert poor is not None
    assert "no method is shown to pay its cost" in poor.found
    del alone["p-sum-long"]
    assert section(evidence_of(alone, costs(SECONDS))) is None
