"""DRGrad's section on made-up histories: what it says follows from the numbers, and from nothing else."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from gradsurgery.evidence.history import Role, Run
from gradsurgery.ledger.reading import read
from gradsurgery.report.papers.drgrad import section
from gradsurgery.report.section import Evidence
from gradsurgery.report.style import svg
from tests.histories import evidence_of, role_of

CENSUS = ("income.auc", "never_married.auc")
MADE_UP = ("first.auc", "second.auc")
_ROOT = Path(__file__).parents[2]


def run(problem, method, seed, metrics, shift=0.0, noise=1e-5, rule="joint", mu=None, correlation=None):
    """Two epochs, the better one last; seeds move all methods of a problem alike, and each by a little of its own."""
    own = np.random.default_rng([seed, *method.encode()])
    level = 0.94 + 1e-3 * np.random.default_rng(seed).standard_normal() + shift + noise * own.standard_normal()
    epochs = []
    for epoch in (1, 2):
        row = {"epoch": epoch}
        for split in ("val", "test"):
            row |= {f"{split}.{m}": level - 0.01 * (2 - epoch) for m in metrics}
            row |= {f"{split}.{m}_200": level - 0.0014 for m in metrics}
            if correlation is not None:
                row[f"{split}.labels.correlation"] = correlation
        row |= {f"train.{m.split('.')[0]}.loss": 0.2 for m in metrics}
        if mu:
            row |= {f"train.router.{name}": 0.5 for name in ("conflict_a", "conflict_b")}
        epochs.append(row)
    diagnostics = [
        {"step": step, "rule.mu": value, "rule.xi_a": 0.2, "rule.xi_b": -0.1} for step, value in (mu or {}).items()
    ]
    balancer = {"name": "single_task", "task": 0} if method.startswith("single_task") else {"name": "equal"}
    return Run(
        experiment=f"{problem}-{method}", problem=problem, seed=seed, scale="laptop", track="controlled",
        family="drgrad", role=Role(**role_of(method)),
        declaration={"module": "census" if problem == "census" else "synthetic", "rule": {"name": rule},
                     "balancer": balancer, "settings": {"batch_size": 512}},
        tasks=[m.split(".")[0] for m in metrics], metrics=dict.fromkeys(metrics, True), data_sha256="0" * 64,
        epochs=epochs, diagnostics=diagnostics, skipped_steps=0, trajectory=None,
    )  # fmt: skip


def evidence(*groups, papers=None):
    named = {group[0].experiment: list(group) for group in groups}
    bare = {"drgrad": dataclasses.replace(published()["drgrad"], tables=())}
    return evidence_of(named, {}, papers or bare)


def census(method, shift=0.0, seeds=5, **fields):
    return [run("census", method, seed, CENSUS, shift, **fields) for seed in range(seeds)]


def published():
    return {"drgrad": read(yaml.safe_load((_ROOT / "data/published/drgrad.yaml").read_text(encoding="utf-8")))}


SATURATED = {0: 0.5, 1: 0.58, 10: 0.99, 20: 1.0, 1000: 1.0}
MIDDLE = {0: 0.5, 1: 0.58, 10: 0.57, 20: 0.55, 1000: 0.51}


@pytest.fixture(scope="module")
def whole():
    return evidence(
        census("sum"), census("split"), census("drgrad-printed", mu=SATURATED, rule="drgrad"),
        census("drgrad-mean", 3e-4, mu=MIDDLE, rule="drgrad"), census("single_task-income"),
        census("floor-trees", 7e-3, rule="floor"), papers=published(),
    )  # fmt: skip


def sheet(found, name):
    return next(s.frame for s in found.sheets if s.name == name)


def test_nothing_without_the_baseline():
    assert section(evidence(census("pcgrad"))) is None
    assert section(Evidence({}, {}, {})) is None


def test_what_separates_is_named_and_what_does_not_is_not(whole):
    found = section(whole).found
    told, rest = found.split("On income against MMoE (n = 5, exploratory): ")[1].split(". On never married")
    assert told.startswith("better: DRGrad, matched, mean updater (+0.0003 [")
    assert "inconclusive: " in told
    assert rest.startswith(" against MMoE (n = 5, exploratory): better: DRGrad, matched, mean updater (")
    worse = section(evidence(census("sum"), census("split", -5e-4))).found
    assert "On income against MMoE (n = 5, exploratory): worse: Split-MMoE (-0.0005 [" in worse


def test_the_published_gain_stands_beside_ours(whole):
    assert "DRGrad, as printed, less MMoE on income: " in section(whole).found
    assert ", published +163." in section(whole).found
    bare = dataclasses.replace(whole, papers={"drgrad": dataclasses.replace(whole.papers["drgrad"], tables=())})
    assert "published +" not in section(bare).found


def test_the_classical_models_are_said_and_not_tested(whole):
    found = section(whole).found
    assert "Models that share nothing: boosted trees 0.94" in found
    frame = sheet(section(whole), "drgrad-census")
    assert frame["method"][0] == "boosted trees"  # the best first


def test_the_census_table(whole):
    frame = sheet(section(whole), "drgrad-census").set_index("method")
    assert frame.loc["MMoE (summed loss)", "income, published"] == "0.9387"
    assert frame.loc["DRGrad, as printed", "never married, published"] == "0.9949"
    assert frame.loc["SNR, published only", "n"] == 0
    assert frame.loc["single task, income", "never married, exact AUC"] == "-"
    exact = np.mean([r.epochs[1]["test.income.auc"] for r in whole.groups["census-split"]])
    assert frame.loc["Split-MMoE", "income, exact AUC"].startswith(f"{exact:.4f} [")
    assert frame.loc["Split-MMoE", "income, AUC at 200 thresholds"] == f"{exact - 0.0014:.4f}"
    run_here = [name for name in frame.index if "published only" not in str(name)]
    assert (frame.loc[run_here, "scale, track"] == "laptop, controlled").all()


def test_the_updater_saturates_only_where_it_does(whole):
    made = section(whole)
    assert "DRGrad, as printed 1.000 at step 21, 1.000 at the end" in made.found
    assert made.found.endswith("predicts as an MMoE: DRGrad, as printed.")
    frame = sheet(made, "drgrad-router").set_index("method")
    assert frame.loc["DRGrad, as printed", "mu' at step 11"] == "0.990 (0.990 to 0.990)"
    assert frame.loc["DRGrad, matched, mean updater", "mu' at the end"] == "0.510 (0.510 to 0.510)"
    calm = section(evidence(census("sum"), census("drgrad-mean", mu=MIDDLE, rule="drgrad"))).found
    assert "predicts as an MMoE" not in calm


def test_one_seed_says_nothing_of_differences():
    found = section(evidence(census("sum", seeds=1), census("split", seeds=1, shift=0.01))).found
    assert "On income against MMoE (n = 1, exploratory): not run (one repeat has no interval): Split-MMoE." in found


def test_made_up_tables_are_ordered_by_the_correlation_of_their_labels():
    groups = []
    for problem, correlation, shift in (("mmoe_synthetic_90", 0.8, 0.0), ("mmoe_synthetic_0", 0.1, -3e-3)):
        for method, move in (("sum", 0.0), ("shared_bottom", shift)):
            fields = {"shift": move, "correlation": correlation}
            groups.append([run(problem, method, seed, MADE_UP, **fields) for seed in range(3)])
    made = section(evidence(*groups))
    frame = sheet(made, "drgrad-made-up")
    assert frame["label correlation"].tolist() == ["+0.100"] * 2 + ["+0.800"] * 2
    assert "Made-up tasks against MMoE, exploratory: worse: shared bottom on mmoe synthetic 0, first" in made.found
    assert [d.name for d in made.drawings] == ["drgrad-made-up"]


def test_conflict_and_ppnet_are_said_where_they_were_run():
    groups = []
    for problem, correlation in (("drgrad_synthetic_cooperate", 1.0), ("drgrad_synthetic_conflict", -1.0)):
        groups.append([run(problem, "sum", seed, MADE_UP, correlation=correlation) for seed in range(3)])
    made = section(evidence(*groups, papers=published()))
    assert made.found.endswith("] where the tasks conflict, published 0.8735.")
    assert "PPNet" not in made.found
    assert sheet(made, "drgrad-made-up")["first, published"].tolist() == ["0.8735", "0.9521"]
    users = [
        [run("users_synthetic", m, seed, MADE_UP, shift, correlation=0.5) for seed in range(3)]
        for m, shift in (("sum", 0.0), ("split", 0.0), ("split-ppnet", 0.01))
    ]
    found = section(evidence(*users)).found
    assert "without and with PPNet on users synthetic (our own table), task by task: 0.94" in found
    assert "where the tasks conflict" not in found


def test_figures_draw_and_repeat_to_the_byte(whole):
    first, second = section(whole), section(whole)
    assert [d.name for d in first.drawings] == ["drgrad-census", "drgrad-router"]
    for a, b in zip(first.drawings, second.drawings, strict=True):
        assert svg(a.figure) == svg(b.figure)
    left, right = first.drawings[0].figure.axes
    diamonds = [line for line in left.lines if line.get_marker() == "D"]
    assert sorted(float(line.get_xdata()[0]) for line in diamonds) == [0.9387, 0.9393, 0.9550]
    assert max(abs(end) for end in right.get_xlim()) < 20  # the trees, 70 units away, do not stretch the panel
