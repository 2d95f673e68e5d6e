"""The ledger is well formed, and what can be recomputed from a published table is recomputed."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from gradsurgery.core.metrics import delta_m_task
from gradsurgery.reporting.published import Paper, Table, read
from pipelines._params import load

FOLDER = Path(__file__).parents[2] / "data/published"
PAPERS = ("pcgrad", "cagrad", "sam_gs")


def document(key: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / f"{key}.yaml").read_text(encoding="utf-8"))


def paper(key: str) -> Paper:
    return read(document(key))


def table(name: str) -> Table:
    return next(t for t in paper(name.split("/")[0]).tables if t.id == name)


@pytest.mark.parametrize("key", PAPERS)
def test_every_record_is_valid_and_answered_or_explained(key: str) -> None:
    records = paper(key).records
    assert len(records) > 50
    assert all((r.answered_by is None) != (r.unanswered is None) for r in records)
    assert any(r.headline for r in records)


@pytest.mark.parametrize("key", PAPERS)
def test_every_named_experiment_is_declared(key: str) -> None:
    experiments = load(FOLDER.parents[1] / "params.yaml").experiments
    answers = [r.answered_by for r in paper(key).records if r.answered_by]
    named = {a.experiment for a in answers} | {a.minus for a in answers if a.minus}
    assert named <= set(experiments)


@pytest.mark.parametrize(
    ("name", "row", "value"),
    [
        ("cagrad/table-1", "MTAN", 5.59),
        ("cagrad/table-1", "CAGrad, c = 0.4", 0.20),
        ("cagrad/table-2", "MTAN", 22.60),
        ("sam_gs/table-2", "SAM-GS", -5.30),
    ],
)
def test_published_delta_m_follows_from_its_row(name: str, row: str, value: float) -> None:
    assert table(name).printed[row] == value
    assert table(name).recomputed()[row] == pytest.approx(value, abs=0.1)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("cagrad/table-1", {"CAGrad, UW, c = 0.6": -1.79}),
        ("cagrad/table-2", {}),
        ("sam_gs/table-2", {"GradNorm": 5.18}),
        ("sam_gs/table-1", {}),
    ],
)
def test_recomputation_finds_the_misprints_and_only_them(name: str, wrong: dict[str, float]) -> None:
    found = table(name).disagreements()
    assert found == pytest.approx(wrong, abs=0.01)
    assert set(found) <= set(table(name).doubtful), "a disagreement must be recorded as doubtful"


def test_task_average_turns_cagrads_ranking_round() -> None:
    t = table("cagrad/table-1")
    expected = {"MTAN": -0.88, "MGDA": 1.66, "PCGrad, lr 1e-4": -1.11, "GradDrop": -2.07, "CAGrad, c = 0.4": -4.33}
    for row, value in expected.items():
        assert delta_m_task(t.rows[row], t.rows["Independent"], t.metrics) == pytest.approx(value, abs=0.01)


def test_celeba_column_sums_as_mean_ranks_do() -> None:
    t = table("sam_gs/table-3")
    first = list(t.rows.values())[: t.rank_sum]
    assert sum(row["all.delta_m"] for row in first) == pytest.approx(12 * 13 / 2, abs=0.01)
    assert all(r.doubtful for r in paper("sam_gs").records if "/table-3/" in r.id)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "vague"}, "`kind` of pcgrad/toy-lower-loss must be one of"),
        ({"value": "many"}, "`value` of pcgrad/toy-lower-loss must be a number"),
        ({"direction": "up"}, "`direction` of pcgrad/toy-lower-loss must be"),
        ({"answered_by": None}, "`answered_by` or `unanswered` of pcgrad/toy-lower-loss must be given"),
        ({"answered_by": {"experiment": "a", "metric": "b"}}, "`answered_by.minus` and `direction`"),
        ({"colour": "red"}, "`colour` of pcgrad/toy-lower-loss must be a known field"),
        ({"id": "multi-mnist-left"}, "`id` must be unique within a paper"),
    ],
)
def test_malformed_record_is_refused(change: dict[str, Any], message: str) -> None:
    broken = copy.deepcopy(document("pcgrad"))
    broken["claims"][0] |= change
    with pytest.raises(ValueError, match=message):
        read(broken)


def test_record_without_provenance_is_refused() -> None:
    broken = copy.deepcopy(document("pcgrad"))
    del broken["claims"][0]["cell"]
    with pytest.raises(ValueError, match="`cell` of pcgrad/toy-lower-loss must be given"):
        read(broken)


def test_row_of_the_wrong_length_is_refused() -> None:
    broken = copy.deepcopy(document("pcgrad"))
    broken["tables"][0]["rows"]["PCGrad"]["values"] = [96.58]
    with pytest.raises(ValueError, match="must have 2 numbers, found 1"):
        read(broken)
