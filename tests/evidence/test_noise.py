"""What the test set alone explains: against simulation, against the counts on record, and where it is not known."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.noise import auc_noise, classes_of, mean_noise, metric_noise, unknown
from gradsurgery.evidence.scores import evaluate
from gradsurgery.evidence.statistics import test_noise as accuracy_noise
from gradsurgery.report.tables import problem_table
from tests.histories import as_run, data_run

AREAS = {"income.auc": (0.94, True), "never_married.auc": (0.99, True)}


def run(metrics: dict[str, tuple[float, bool]] = AREAS, module: str = "census", rows: object = 49_881) -> Run:
    made = as_run(data_run("p", "sum", 0, 0.0, metrics))
    return dataclasses.replace(made, declaration={**made.declaration, "module": module}, test_rows=rows)


def test_noise_of_an_auc_is_hanley_and_mcneils() -> None:
    rng = np.random.default_rng(0)
    positives, negatives, draws = 60, 140, 1500
    scores = rng.standard_normal((draws, positives)) + 1.5, rng.standard_normal((draws, negatives))
    areas = (scores[0][:, :, None] > scores[1][:, None, :]).mean(axis=(1, 2))
    assert auc_noise([float(areas.mean())], positives, negatives) / 1.96 == pytest.approx(
        areas.std(), rel=0.15
    )  # its model errs upwards
    two = auc_noise([0.95, 0.95], 3133, 46748)
    assert two == pytest.approx(2**0.5 * auc_noise([0.95], 3133, 46748))
    assert 0.007 < two < 0.0085


def test_the_counts_are_those_of_the_published_records() -> None:
    ledger = Path(__file__).parents[2] / "data/published/drgrad.yaml"
    records = yaml.safe_load(ledger.read_text(encoding="utf-8"))["claims"]
    asked = {(r["answered_by"]["metric"], tuple(r["classes"])) for r in records
             if r.get("classes") and r["answered_by"]["experiment"].startswith("census-")}  # fmt: skip
    assert asked == {(f"{task}.auc", classes_of(run(), task)) for task in ("income", "never_married")}
    assert classes_of(run(module="synthetic", rows=10_000), "first") == (5000, 5000)
    assert classes_of(run(module="overlay"), "income") is None
    assert classes_of(run(rows=10), "income") == (1, 9)  # a slice may hold fewer than one positive by share


def test_each_kind_of_metric() -> None:
    assert metric_noise(run(), "income.auc", 0.94, 0.95) == auc_noise([0.94, 0.95], 3133, 46_748)
    assert metric_noise(run({"a.accuracy": (0.5, True)}), "a.accuracy", 0.8, 0.9) == accuracy_noise(
        [(0.8, 0.9)], 49_881
    )
    assert metric_noise(run({"a.mae": (0.5, False)}), "a.mae", 0.8, 0.9) is None
    each = [metric_noise(run(), name, 0.9, 0.9) for name in AREAS]
    levels = dict.fromkeys(AREAS, 0.9)
    assert mean_noise(run(), list(AREAS), levels, levels) == pytest.approx(np.mean(np.array(each, dtype=float)))
    assert mean_noise(run(module="overlay"), list(AREAS), levels, levels) is None


def test_a_mean_of_accuracies_counts_all_examples() -> None:
    tasks = {"a.accuracy": (0.5, True), "b.accuracy": (0.5, True)}
    own = run(tasks, "superclass", {"a": 200, "b": 200})
    levels = {"a.accuracy": 0.4, "b.accuracy": 0.6}
    assert mean_noise(own, list(tasks), levels, levels) == accuracy_noise([(0.5, 0.5)], 400)


def test_what_is_not_known_is_said() -> None:
    assert unknown(run()) == ""
    text = unknown(run({"l1.mae": (0.4, False), "s.ssim": (0.5, True)}))
    assert "not known for mean absolute error and SSIM: intervals are over seeds only." in text
    assert unknown(dataclasses.replace(run({"all.loss": (0.4, False)}), trajectory={})) == ""


def test_the_controlled_table_holds_it_and_reference_lines_come_last() -> None:
    groups = {}
    for method, track in (("sum", "controlled"), ("a-long", "reference"), ("pcgrad", "controlled")):
        made = [as_run(data_run("p", method, seed, 0.0, AREAS)) for seed in range(3)]
        groups[f"p-{method}"] = [
            dataclasses.replace(r, track=track, declaration={**r.declaration, "module": "census"}, test_rows=49_881)
            for r in made
        ]
    metrics, _ = evaluate(groups, {})
    assert metrics["p-pcgrad"]["minus_sum"]["income.auc"]["test_noise"] == pytest.approx(0.008, abs=0.002)
    table = problem_table(metrics, "p", dict.fromkeys(AREAS, True))
    assert [str(m) for m in table["method"]] == ["PCGrad", "sum", "a, long"]
    assert table["in the controlled table"].tolist() == ["yes", "yes", "no: track reference"]
    expected = metrics["p-pcgrad"]["minus_sum"]["all.auc"]["test_noise"]
    assert table["ROC-AUC, the test set alone explains"].tolist()[:2] == [f"{expected:.4f}", "-"]
