"""DR-MGF's section on made-up histories: pairing, passes, verdicts, and what it says with too little to go on."""

import json

import numpy as np
import pytest

from gradsurgery.evidence.history import parse
from gradsurgery.report.exits import by_exit_and_pass, named, passes
from gradsurgery.report.papers.dr_mgf import section
from gradsurgery.report.section import Evidence
from gradsurgery.report.style import svg
from tests.histories import as_run, evidence_of, role_of, with_examples

TASKS = ["exit1", "exit2", "exit3"]
METRICS = [f"{task}.accuracy" for task in TASKS]
# method -> accuracy above joint training's, epochs
LINES = {
    "sum": (0.0, 2), "pcgrad": (0.001, 2), "dr_mgf": (0.04, 2), "dr_mgf-average": (0.02, 2),
    "dr_mgf-line_scan": (0.03, 2), "sum-equal_passes": (0.1, 8),
}  # fmt: skip


def _history(problem, method, seed, shift, epochs):
    level = 0.2 + 0.02 * np.random.default_rng(seed).standard_normal() + shift
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch}
        for k, task in enumerate(TASKS):
            wobble = 0.0005 * np.random.default_rng([seed, len(method), k]).standard_normal()
            row[f"train.{task}.loss"] = 4.0 / epoch
            for split in ("val", "test"):
                row |= {
                    f"{split}.{task}.accuracy": level + 0.01 * k + wobble - 0.1 / epoch,
                    f"{split}.{task}.loss": 3.0,
                }
        rows.append(row)
    rule = "dr_mgf" if method.startswith("dr_mgf") else "joint"
    learned = {
        "method.importance_spread": 0.4 + 0.1 * seed, "method.entropy": 0.9,
        **{f"method.dominated.{task}": 0.1 * (k + 1) for k, task in enumerate(TASKS)},
    }  # fmt: skip
    return {
        "experiment": f"{problem}-{method}", "problem": problem, "seed": seed, "scale": "laptop", "track": "controlled",
        "family": "dr_mgf", "role": role_of(method) | ({"of": "dr_mgf"} if "equal" in method else {}),
        "declaration": {
            "balancer": {"name": "equal"}, "rule": {"name": rule},
            "settings": {"train_size": 100, "test_size": 4000},
        },
        "tasks": TASKS, "metrics": dict.fromkeys(METRICS, True), "data_sha256": "0" * 64, "epochs": rows,
        "diagnostics": [
            {"step": step, **(learned if rule == "dr_mgf" else {"mean_cosine": 0.1})} for step in range(epochs)
        ],
        "skipped_steps": 0, "trajectory": None,
    }  # fmt: skip


def _evidence(problem="cifar100_exits", lines=LINES, seeds=(0, 1, 2), test_size=4000):
    groups = {}
    for method, (shift, epochs) in lines.items():
        runs = [_history(problem, method, seed, shift, epochs) for seed in seeds]
        read = parse([json.dumps(run) for run in runs], method)
        groups[f"{problem}-{method}"] = [with_examples(run, test_size) for run in read]
    seconds = {"0": 10.0, "1": 12.0, "2": 20.0}
    costs = {f"{problem}-dr_mgf": {"seeds": {seed: {"seconds": s, "steps": 0} for seed, s in seconds.items()}}}
    return evidence_of(groups, costs)


def said(method):
    """A line's name in the section."""
    return named(as_run(_history("cifar100_exits", method, 0, 0.0, 2)))


def _sheet(made, name):
    (frame,) = [sheet.frame for sheet in made.sheets if sheet.name == name]
    return frame.set_index(frame.columns[0])


def test_nothing_is_said_without_its_runs():
    assert section(Evidence({}, {}, {})) is None
    assert section(_evidence(lines={"sum": LINES["sum"]})) is None
    assert section(_evidence("multi_mnist")) is None


def test_the_sentence_holds_equal_epochs_and_equal_passes_apart():
    found = section(_evidence()).found
    assert "Beside joint training, DR-MGF is ahead of it at equal epochs and behind it at equal passes." in found
    assert "minus joint training at equal epochs +4." in found
    assert "minus joint training at equal passes -" in found
    assert "minus DR-avgF at equal epochs +" in found
    assert "line scan" not in found
    assert "n = 3" in found
    assert "scale laptop" in found
    same = section(_evidence(lines={"sum": (0.0, 2), "dr_mgf": (0.005, 2)})).found
    assert "DR-MGF is not told apart from it at equal epochs." in same
    assert "(inconclusive)" in same


def test_the_sentence_counts_the_seeds_that_were_paired():
    evidence = _evidence()
    fewer = {**evidence.groups, "cifar100_exits-sum": evidence.groups["cifar100_exits-sum"][:2]}
    assert "Paired over n = 2 to 3 seeds" in section(evidence_of(fewer)).found


def test_a_small_test_set_withholds_the_verdict():
    lines = {"sum": (0.0, 2), "dr_mgf": (0.02, 2)}
    assert "ahead of it" in section(_evidence(lines=lines)).found
    assert "not told apart" in section(_evidence(lines=lines, test_size=400)).found


def test_gap_by_hand():
    evidence = _evidence()
    own, other = evidence.groups["cifar100_exits-dr_mgf"], evidence.groups["cifar100_exits-sum"]
    found = evidence.contrasts.get("dr_mgf", "cifar100_exits", "dr_mgf", "sum")
    last = [np.array([[run.epochs[-1][f"test.{m}"] for m in METRICS] for run in runs]) for runs in (own, other)]
    differences = (last[0] - last[1]).mean(axis=1)
    summary = found.difference
    assert summary.n == 3
    assert summary.mean == pytest.approx(differences.mean())
    p, q = (values.mean(axis=0) for values in last)
    assert found.noise == pytest.approx(1.959964 * np.sqrt((p * (1 - p) + q * (1 - q)).sum() / 4000) / len(p), rel=0.1)
    assert summary.error**2 == pytest.approx(differences.var(ddof=1) / 3 + (found.noise / 1.959964) ** 2, rel=1e-5)


def test_passes_are_counted_from_the_rule():
    evidence = _evidence()
    made = section(evidence)
    levels = _sheet(made, "dr_mgf-exits")
    assert [passes(evidence.groups[f"cifar100_exits-{m}"][0]) for m in ("sum", "dr_mgf-average")] == [1, 4]
    assert levels["passes over the data"].to_dict() == {
        said(method): epochs * (4 if method.startswith("dr_mgf") else 1) for method, (_, epochs) in LINES.items()
    }
    assert levels.loc[said("dr_mgf"), "seconds per seed"] == "12"
    assert levels.loc["joint training", "seconds per seed"] == "-"
    gaps = _sheet(made, "dr_mgf-minus")
    assert gaps.loc["joint training", "on"] == "equal epochs"
    assert gaps.loc["joint training, equal passes", "on"] == "equal passes"
    assert gaps.loc["joint training, equal passes", "verdict"] == "worse"
    assert said("dr_mgf") not in gaps.index
    figure = by_exit_and_pass(
        {m: evidence.groups[f"cifar100_exits-{m}"] for m in ("sum", "dr_mgf")}, evidence.metrics, "dr_mgf"
    )
    curves = {mark.get_label(): mark.get_xdata().tolist() for mark in figure.axes[1].lines}
    assert curves == {"joint training": [1, 2], said("dr_mgf"): [4, 8]}


def test_numbers_of_the_tables_are_those_of_the_runs():
    evidence = _evidence()
    made = section(evidence)
    runs = evidence.groups["cifar100_exits-pcgrad"]
    expected = 100 * np.mean([run.epochs[-1]["test.exit2.accuracy"] for run in runs])
    cell = _sheet(made, "dr_mgf-exits").loc["PCGrad", "exit2 (%)"]
    assert cell.startswith(f"{expected:.2f} [")
    learned = _sheet(made, "dr_mgf-importance")
    assert learned.loc[said("dr_mgf"), "spread of importance at the end (%)"].startswith("50.00 [")
    assert learned.loc[said("dr_mgf"), "units where exit3 has more than half (%)"].startswith("30.00 [")
    assert "PCGrad" not in learned.index


def test_one_seed_gives_no_verdict():
    made = section(_evidence(seeds=(0,)))
    assert (
        made.found
        == "SDN-ResNet: n = 1 has no interval, so that nothing is claimed; the table holds the bare differences."
    )
    assert set(_sheet(made, "dr_mgf-minus")["verdict"]) == {"not run (one repeat has no interval)"}


def test_both_networks_have_their_own_files_and_words():
    both = [_evidence(p) for p in ("cifar100_exits", "cifar100_exits_msdnet")]
    joined = evidence_of({**both[0].groups, **both[1].groups}, {**both[0].costs, **both[1].costs})
    made = section(joined)
    assert [drawing.name for drawing in made.drawings] == ["dr_mgf-exits", "dr_mgf-msdnet-exits"]
    assert len({sheet.name for sheet in made.sheets}) == len(made.sheets) == 6
    assert made.found.index("SDN-ResNet: ") < made.found.index("MSDNet: ")
    assert all("CIFAR-100, 100 training pictures, 4,000 test pictures" in sheet.title for sheet in made.sheets)
    assert [svg(d.figure) for d in made.drawings] == [svg(d.figure) for d in section(joined).drawings]
