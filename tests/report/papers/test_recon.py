"""The section of Recon on made-up histories whose answer is known."""

import copy
import json

import pytest

from gradsurgery.evidence.history import parse
from gradsurgery.report.layer_tables import name
from gradsurgery.report.papers.recon import PROBLEM, section
from gradsurgery.report.section import Evidence
from gradsurgery.report.style import svg
from tests.histories import evidence_of, with_examples

LAYERS = {"stem": 100, "norm": 10, "deep": 1000, "last": 500}
OWN = {"recon-sum": ("stem", "norm"), "recon-pcgrad": ("stem", "norm"), "recon-sum-random": ("norm", "deep")}
# share of conflicting steps, accuracy above the sum's
LINES = {
    "sum": (0.6, 0.0), "pcgrad": (0.6, 0.001), "recon-sum": (0.2, 0.06), "recon-pcgrad": (0.3, 0.05),
    "recon-sum-random": (0.5, 0.0), "sum-search": (0.6, -0.2), "single_task-left": (0.0, 0.0),
}  # fmt: skip
STEPS = 1000


def _layers(method, seed, epochs):
    share, _ = LINES[method]
    names = [n for n in LAYERS if n not in OWN.get(method, ())]
    found = round(STEPS * (share + 0.002 * seed))
    row = [STEPS, found]
    return {
        "names": names, "sizes": [LAYERS[n] for n in names], "steps": STEPS * epochs, "thresholds": [0.0, -0.1],
        "scores": [[row if n != "last" else [found, 0] for n in names] for _ in range(epochs)], "whole": [row] * epochs,
    }  # fmt: skip


def _evidence(made_up, seeds=3, lines=tuple(LINES)):
    groups = {}
    for method in lines:
        runs = []
        for seed in range(seeds):
            run = made_up(PROBLEM, method, seed, LINES[method][1])
            run["layers"] = None if "single" in method else _layers(method, seed, len(run["epochs"]))
            run["declaration"] |= {
                "settings": {"network": {"name": "resnet", "width": 8}, "train_size": 640, "test_size": 4000},
                "transform": {"name": "identity"},
            }
            if method.startswith("recon"):
                run["declaration"]["transform"] = {"name": "recon", "k": 2, "threshold": -0.1}
                run["declaration"]["evidence"] = f"{PROBLEM}-sum-search"
            runs.append(json.dumps(run))
        groups[f"{PROBLEM}-{method}"] = [with_examples(run, 4000) for run in parse(runs, method)]
    return evidence_of(groups, {})


def _sheets(found):
    return {sheet.name: sheet.frame for sheet in found.sheets}


def test_without_a_baseline_or_a_recon_network_there_is_no_section(made_up):
    assert section(Evidence({}, {}, {})) is None
    assert section(_evidence(made_up, 1, ("sum", "pcgrad"))) is None
    assert section(_evidence(made_up, 1, ("recon-sum", "sum-search"))) is None
    alone = _evidence(made_up, 1, ("sum", "recon-sum"))
    assert section(alone) is not None
    unscored = copy.deepcopy(alone)
    for runs in unscored.groups.values():
        for run in runs:
            object.__setattr__(run, "layers", None)
    assert section(unscored) is None


def test_the_sentence_says_what_the_numbers_say(made_up):
    found = section(_evidence(made_up))
    assert found is not None
    assert "conflict (cosine below -0.1)" in found.found
    assert "surgery changes it by +0.0 (0 of 1 intervals below zero, 0 above) against the sum" in found.found
    assert "Recon changes it by -40.0 to -30.0 (2 of 2 intervals below zero, 0 above)" in found.found
    # `deep` falls by 40 and 30 points, `last` never conflicts: their mean by half of it
    assert "and by -20.0 to -15.0 (2 of 2 intervals below zero, 0 above) in the layers" in found.found
    assert "as many random layers change it there by -5.0" in found.found
    assert "beyond the noise of seeds and test set for 2 of 2 methods" in found.found
    assert "scale smoke, track controlled, n = 3 seeds" in found.ran
    assert "counted by sum, search over 4 epochs" in found.ran


def test_a_recon_that_does_nothing_is_said_to_do_nothing(made_up, monkeypatch):
    for method in ("recon-sum", "recon-pcgrad"):
        monkeypatch.setitem(LINES, method, (0.6, 0.0))
    found = section(_evidence(made_up))
    assert found is not None
    assert "Recon changes it by +0.0 to +0.0 (0 of 2 intervals below zero, 0 above)" in found.found
    assert "for 0 of 2 methods" in found.found
    assert "inconclusive" in set(_sheets(found)["recon-controls"]["verdict"])


def test_one_seed_has_no_intervals_and_says_so(made_up):
    found = section(_evidence(made_up, 1))
    assert found is not None
    assert "(one seed, no interval)" in found.found
    assert "intervals below" not in found.found
    assert set(_sheets(found)["recon-controls"]["verdict"]) == {"not run (one repeat has no interval)"}


def test_tables_have_every_line_with_its_parameters_and_baseline(made_up):
    found = section(_evidence(made_up))
    assert found is not None
    sheets = _sheets(found)
    accuracy = sheets["recon-accuracy"].set_index("method")
    assert list(accuracy.index) == ["sum", "PCGrad", "Recon + sum", "Recon + PCGrad", "Recon + sum, random"]
    assert list(accuracy["against"]) == ["-", "sum", "sum", "PCGrad", "sum"]
    assert list(accuracy["parameters added"]) == ["-", "-", "110", "110", "1,010"]
    assert accuracy.loc["Recon + sum", "of the shared (%)"] == "6.83"
    assert (accuracy["n"] == 3).all()
    assert list(sheets["recon-controls"]["control"]) == ["Recon + sum, random"]
    layers = sheets["recon-layers"].set_index("layer")
    assert list(layers.index) == list(LAYERS)
    assert layers.loc["stem", "with Recon"] == "each task's own"
    assert str(layers.loc["deep", "with Recon"]).startswith("20.2 [")
    assert layers.loc["last", "its place"] == 4
    assert len(sheets["recon-conflict"]) == 4


def test_figures_are_drawn_and_repeat_to_the_byte(made_up):
    first, second = (section(_evidence(made_up, 2, ("sum", "recon-sum", "recon-sum-random"))) for _ in range(2))
    assert first is not None
    assert second is not None
    assert [d.name for d in first.drawings] == ["recon-equal-loss", "recon-layers", "recon-cosines"]
    drawn = [svg(drawing.figure) for drawing in first.drawings]
    assert svg(second.drawings[0].figure) == drawn[0]
    assert all(len(figure) > 3_000 for figure in drawn)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("pcgrad", "PCGrad"), ("recon-pcgrad", "Recon + PCGrad"),
        ("recon-cagrad-c0_5", "Recon + CAGrad, c = 0.5"),
        ("recon-sum-random_parameters", "Recon + sum, random parameters"),
    ],
)  # fmt: skip
def test_every_line_has_its_name(method, words):
    assert name(method) == words
