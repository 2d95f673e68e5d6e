"""Where the updater's weight goes: the words follow the last record of every seed."""

import json

from gradsurgery.evidence.history import parse
from gradsurgery.report.blocks.router import part, recorded
from gradsurgery.report.style import svg
from tests.histories import evidence_of


def _evidence(made_up, **ends):
    groups = {}
    for name, end in ends.items():
        method, runs = name.replace("__", "-"), []
        for seed in range(2):
            run = made_up("census", method, seed, 0.0)
            for place, row in enumerate(run["diagnostics"] if end is not None else ()):
                row |= {"rule.mu": 0.5 + (end - 0.5) * place / 29, "rule.xi_a": 0.1, "rule.xi_b": -0.1}
            runs.append(json.dumps(run))
        groups[f"census-{method}"] = parse(runs, method)
    return evidence_of(groups)


def test_a_weight_near_one_takes_the_lent_tower_out(made_up):
    found = part("drgrad", _evidence(made_up, sum=None, drgrad__matched=1.0, drgrad__frozen=0.5), "census")
    assert "DRGrad, frozen 0.500; DRGrad, matched 1.000." in found.found
    assert found.found.endswith("predicts as an MMoE: DRGrad, matched.")
    assert b"DRGrad, frozen" in svg(found.drawings[0].figure)
    assert "MMoE" not in part("drgrad", _evidence(made_up, drgrad__matched=0.9), "census").found


def test_steps_count_from_one_and_lines_without_a_router_are_left_out(made_up):
    evidence = _evidence(made_up, sum=None, drgrad__matched=1.0)
    (steps, values), _ = recorded(evidence.groups["census-drgrad-matched"], "mu")
    assert (steps[0], values[0], values[-1]) == (1, 0.5, 1.0)
    assert part("drgrad", _evidence(made_up, sum=None), "census") is None
    assert list(recorded(evidence.groups["census-sum"], "mu")) == [([], []), ([], [])]
