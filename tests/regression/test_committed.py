"""The committed numbers: whole, recomputable, and still showing what issue and papers say they must.

Everything here reads Git-tracked files only. A test that needs a report skips while none is committed.
"""

import json
from pathlib import Path

import pytest

from gradsurgery.core.declaration import problem_of
from pipelines._evidence import read_histories
from pipelines._params import load
from pipelines._records import Records
from pipelines._regression import compare
from pipelines.evaluate import evaluate_all, read_scale

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "reports"

pytestmark = pytest.mark.skipif(not (REPORTS / "metrics.json").exists(), reason="no report is committed yet")


@pytest.fixture(scope="module")
def params():
    return load(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def histories():
    return read_histories(REPORTS / "history" / read_scale(ROOT))


@pytest.fixture(scope="module")
def metrics():
    return json.loads((REPORTS / "metrics.json").read_text(encoding="utf-8"))


def _final(run):
    return run.epochs[-1]


def _solved(histories, experiment):
    return sum(step is not None for step in histories[experiment][0].trajectory["first_solved"])


def test_every_line_of_the_table_has_its_history_and_costs_and_no_other_has(params, histories, metrics):
    assert set(histories) == set(params.experiments) == set(metrics)
    assert {path.stem for path in (REPORTS / "costs" / params.scale).glob("*/*.json")} == set(params.experiments)


def test_histories_are_of_the_scale_the_seeds_and_the_declaration_in_the_table(params, histories):
    for name, experiment in params.experiments.items():
        runs = histories[name]
        assert [run.seed for run in runs] == list(experiment.seeds)
        for run in runs:
            assert run.scale == params.scale
            assert run.declaration == experiment.declaration, name
            assert (run.family, run.role) == (experiment.family, experiment.role), name
            assert len(run.epochs) == problem_of(experiment.declaration).epochs


def test_every_history_is_the_one_that_its_run_left(params, capsys):
    """A number changed by hand afterwards, or a validation score made a test score, breaks no other rule."""
    records = Records(ROOT, params.scale)
    for line in params.experiments.values():
        found = records.read(line)
        assert all(record.fingerprint for record in found.values())
        assert list(found) == list(line.seeds), capsys.readouterr().err


def test_the_metrics_follow_from_the_histories(params, metrics):
    fresh = json.loads(evaluate_all(ROOT)["metrics.json"])
    exact = {"bands": {"accuracy": 1e-9, "loss": 1e-9, "solved": 1e-9}, "exceptions": {}}
    compared, moved = compare(fresh, metrics, exact)
    assert compared > len(params.experiments)
    assert moved == []


@pytest.mark.parametrize("problem", ["multi_mnist", "multi_fashion_mnist"])
@pytest.mark.parametrize("method", ["sum", "pcgrad", "mgda"])
def test_training_is_past_half_of_the_gain_over_chance(histories, problem, method):
    # no final accuracy exceeds 0.98, so that half of the way up from a chance of 0.1 is at most 0.54
    for run in histories[f"{problem}-{method}"]:
        for task in run.tasks:
            assert _final(run)[f"test.{task}.accuracy"] > 0.54


def test_plain_descent_is_stuck_from_two_of_five_starts_and_cagrad_from_none(histories):
    assert _solved(histories, "cagrad_toy-mean") == 3
    assert _solved(histories, "cagrad_toy-cagrad-c0_5") == 5


def test_sam_gs_solves_all_seven_starts_and_its_controls_do_not(histories):
    assert _solved(histories, "sam_gs_toy1-sam_gs") == 7
    for control in ("mean", "sam_gs-no_clip", "sam_gs-full_mean", "sam_gs-literal", "sam_gs-gamma0", "sam_gs-gamma2"):
        assert _solved(histories, f"sam_gs_toy1-{control}") < 7, control


def test_pcgrad_ends_lower_than_adam_on_its_own_landscape_as_distributions(histories):
    def ends(name):
        last = histories[f"pcgrad_toy-{name}"][0].trajectory["losses"][-1]
        return sorted(sum(losses) for losses in last)

    adam, pcgrad = ends("sum"), ends("pcgrad")
    assert len(adam) == len(pcgrad) >= 16
    assert pcgrad[len(pcgrad) // 2] < adam[len(adam) // 2]
    assert max(pcgrad) < min(adam)
