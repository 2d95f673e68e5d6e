"""Layers of the tasks' own in the report: which they are, what they cost, and the conflict in the others."""

import json

from gradsurgery.evidence.history import parse
from gradsurgery.report.blocks.layers import part
from gradsurgery.report.style import svg
from tests.histories import evidence_of

PROBLEM, PAIRS = "multi_fashion_mnist_resnet", [["sum", "recon-sum"], ["pcgrad", "recon-pcgrad"]]
LAYERS = {"trunk.0": 100, "norm": 10, "last": 890}


def _evidence(made_up, shares, counted=True):
    groups = {}
    for method, share in shares.items():
        names = [n for n in LAYERS if n != "last" or not method.startswith("recon")]
        runs = []
        for seed in range(2):
            run = made_up(PROBLEM, method, seed, 0.0)
            row, epochs = [100, round(100 * share)], len(run["epochs"])
            recon = {"name": "recon", "threshold": -0.1}
            run["declaration"]["transform"] = recon if method.startswith("recon") else {"name": "identity"}
            run["layers"] = {
                "names": names, "sizes": [LAYERS[n] for n in names], "steps": 100 * epochs, "thresholds": [0.0, -0.1],
                "scores": [[row for _ in names] for _ in range(epochs)], "whole": [row] * epochs,
            } if counted else None  # fmt: skip
            runs.append(json.dumps(run))
        groups[f"{PROBLEM}-{method}"] = parse(runs, method)
    return evidence_of(groups)


def test_nothing_without_a_pair_that_was_counted(made_up):
    assert part("recon", _evidence(made_up, {"sum": 0.5}), PROBLEM, PAIRS) is None
    assert part("recon", _evidence(made_up, {"sum": 0.5, "recon-sum": 0.2}, counted=False), PROBLEM, PAIRS) is None


def test_what_became_the_tasks_own_and_at_which_threshold(made_up):
    found = part("recon", _evidence(made_up, {"sum": 0.5, "recon-sum": 0.2, "pcgrad": 0.5}), PROBLEM, PAIRS)
    (row,) = found.sheets[0].frame.to_dict("records")
    assert (row["method"], row["layers split"], row["parameters added"]) == ("Recon, sum", 1, "890")
    assert row["of the shared (%)"] == "89.00"
    (drawing,) = found.drawings
    assert "cosine below -0.1" in drawing.caption
    picture = svg(drawing.figure).decode()
    assert "conv1" in picture, "under the name of the paper's code"
    assert "PCGrad" not in picture, "a line without its pair is not drawn"
