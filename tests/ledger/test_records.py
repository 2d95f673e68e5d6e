"""The ledger is well formed, and what can be recomputed from a published table is recomputed."""

import copy
import functools
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gradsurgery.core.metrics import delta_m_task
from gradsurgery.ledger.arithmetic import Table
from gradsurgery.ledger.reading import read
from gradsurgery.ledger.records import Paper, check_provenance
from pipelines._blocks import whole_blocks
from pipelines.report import declared_experiments, gather

FOLDER = Path(__file__).parents[2] / "data/published"
PAPERS = ("pcgrad", "cagrad", "sam_gs", "gcond", "recon", "dr_mgf", "drgrad")


def document(key: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / f"{key}.yaml").read_text(encoding="utf-8"))


@functools.cache
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


def declared() -> set[str]:
    document = yaml.safe_load((FOLDER.parents[1] / "params.yaml").read_text(encoding="utf-8"))
    return declared_experiments(whole_blocks("problems", document["problems"]))


def test_all_seven_papers_are_there() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} >= set(PAPERS)


@pytest.mark.parametrize("key", PAPERS)
def test_every_named_experiment_is_declared(key: str) -> None:
    check_provenance([paper(key)], declared())


def test_a_record_that_loses_its_experiment_is_refused() -> None:
    message = "`answered_by` of pcgrad/toy-lower-loss must name an experiment of the table, found 'pcgrad_toy-sum'"
    with pytest.raises(ValueError, match=message):
        check_provenance([paper("pcgrad")], declared() - {"pcgrad_toy-sum"})


@pytest.mark.parametrize(
    ("name", "row", "value"),
    [
        ("cagrad/table-1", "MTAN", 5.59),
        ("cagrad/table-1", "CAGrad, c = 0.4", 0.20),
        ("cagrad/table-2", "MTAN", 22.60),
        ("sam_gs/table-2", "SAM-GS", -5.30),
        ("recon/table-1", "PCGrad + Recon", 0.04),
        ("recon/table-3", "Joint + Recon", -12.63),
        ("recon/table-4", "BMTAS + Recon", -0.19),
        ("dr_mgf/logs", "DR-MGF, seed 1", -6.02),
        ("dr_mgf/logs", "DR-MGF, seed 2", -5.87),
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
        ("recon/table-1", {}),
        ("recon/table-3", {"PCGrad": -84.71}),
        ("recon/table-4", {}),
        ("dr_mgf/logs", {}),
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


def test_recons_table_5_is_flagged_row_by_row() -> None:
    t = table("recon/table-5")
    found = t.disagreements()
    assert set(found) == set(t.printed)
    assert all(0.3 < value - t.printed[row] < 0.7 for row, value in found.items())
    expected = {"Joint": 1.18, "Joint + Recon": 4.56, "CAGrad + Recon": 6.21, "MGDA": -1.73}
    assert {row: round(found[row], 2) for row in expected} == expected


def test_recons_reductions_follow_from_their_bins() -> None:
    t = table("recon/table-6")
    severe = {row: cells["bins.to_minus_02"] + cells["bins.to_minus_03"] + cells["bins.below_minus_03"]
              for row, cells in t.rows.items()}  # fmt: skip
    for row, cells in t.also.items():
        if cells:
            recomputed = 100 * (1 - severe[row] / severe["Joint"])
            assert recomputed == pytest.approx(cells["severe.reduction"], abs=0.06), row


def test_copied_rows_are_found_by_their_numbers() -> None:
    assert table("cagrad/table-1").copies() == {"CAGrad, UW, c = 0.6": "CAGrad, UW, c = 0.4"}
    assert table("sam_gs/table-1").copies() == {"SI": "LS"}
    everywhere = [(t.id, t.copies()) for key in PAPERS for t in paper(key).tables if t.copies()]
    assert [name for name, _ in everywhere] == ["cagrad/table-1", "sam_gs/table-1"]


def test_celebas_delta_m_are_recognised_as_mean_ranks() -> None:
    flaws = table("sam_gs/table-3").column_flaws()
    rows, text = flaws["all.delta_m"]
    assert list(rows) == list(table("sam_gs/table-3").rows)[:12]
    assert "sum to 12 x 13 / 2" in text
    others = [t.id for key in PAPERS for t in paper(key).tables if t.disguised_ranks()]
    assert others == ["sam_gs/table-3"]


def test_mean_ranks_that_miss_their_sum_are_found() -> None:
    assert table("sam_gs/table-2").rank_sum() == pytest.approx((118.9, 120.0))
    assert "all.mean_rank" in table("sam_gs/table-2").column_flaws()
    assert table("sam_gs/table-1").rank_sum() == pytest.approx((120.1, 120.0))
    assert "all.mean_rank" not in table("sam_gs/table-1").column_flaws()


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ("cagrad/table-1/CAGrad, UW, c = 0.6/all.delta_m", "its own metrics give -1.79"),
        ("cagrad/table-1/CAGrad, UW, c = 0.6/normal.within_30", "same numbers as row CAGrad, UW, c = 0.4"),
        ("sam_gs/table-3/MGDA/all.delta_m", "as mean ranks must"),
        ("sam_gs/table-2/SAM-GS/all.mean_rank", "sum to 118.9"),
        ("recon/table-5/Joint/all.delta_m", "its own metrics give 1.18"),
    ],
)
def test_the_recomputation_itself_writes_the_doubt_into_the_record(record: str, text: str) -> None:
    found = {r.id: r for r in paper(record.split("/")[0]).records}[record]
    assert text in str(found.doubtful)


@pytest.mark.parametrize("shift", [0.11, -0.11])
@pytest.mark.parametrize("row", ["MTAN", "CAGrad, c = 0.4"])
def test_a_delta_m_moved_by_a_tenth_is_flagged_in_its_record(row: str, shift: float) -> None:
    edited = copy.deepcopy(document("cagrad"))
    next(t for t in edited["tables"] if t["id"] == "table-1")["rows"][row]["delta_m"] += shift
    found = {r.id: r for r in read(edited).records}[f"cagrad/table-1/{row}/all.delta_m"]
    assert "its own metrics give" in str(found.doubtful)


def test_a_doubt_goes_when_the_number_is_put_right() -> None:
    mended = copy.deepcopy(document("cagrad"))
    row = next(t for t in mended["tables"] if t["id"] == "table-1")["rows"]["CAGrad, UW, c = 0.6"]
    row["values"][-3:], row["delta_m"] = [27.0, 54.5, 67.5], -1.98
    del row["doubtful"]
    found = [r for r in read(mended).records if "/CAGrad, UW, c = 0.6/" in r.id]
    assert [r.doubtful for r in found if "Recomputed" in str(r.doubtful)] == []


def test_throughput_of_gcond_agrees_with_its_epoch_times() -> None:
    for name, pictures in (("gcond/table-3-imagenet", 1.2805e6), ("gcond/table-3-ct", 1.8405e6)):
        for cells in table(name).rows.values():
            assert cells["cost.epoch_seconds"] * cells["cost.samples_per_second"] == pytest.approx(pictures, rel=2e-3)


def test_cells_of_an_answered_row_know_their_baseline() -> None:
    found = {r.id: r for r in paper("recon").records}
    cell = found["recon/table-1/PCGrad + Recon/right.accuracy"]
    assert cell.answered_by is not None
    assert cell.answered_by.minus == "multi_fashion_mnist_resnet-sum"
    assert cell.margin == pytest.approx(98.30 - 97.42)
    signs = {key: next(r.direction for r in paper(key).records if r.metric == "delta_m") for key in ("recon", "cagrad")}
    assert signs == {"recon": "higher", "cagrad": "lower"}, "the papers print it with opposite signs"
    assert found["recon/table-1/Joint/right.accuracy"].margin is None
    assert found["recon/table-1/RotoGrad/right.accuracy"].unanswered
    assert found["recon/table-1/Joint/size.megabytes"].unanswered
    assert "recon/table-1/MGDA/size.megabytes" not in found


def test_spreads_keep_their_meaning() -> None:
    found = {r.id: r for r in paper("gcond").records}["gcond/table-2-ct/GCond sequential/l1.loss"]
    assert (found.spread, found.spread_kind) == (0.01195, "interval, level not stated")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "vague"}, "`kind` of pcgrad/toy-lower-loss must be one of"),
        ({"value": "many"}, "`value` of pcgrad/toy-lower-loss must be a number"),
        ({"direction": "up"}, "`direction` of pcgrad/toy-lower-loss must be"),
        ({"answered_by": None}, "`answered_by` or `unanswered` of pcgrad/toy-lower-loss must be given"),
        ({"answered_by": {"experiment": "a", "metric": "b"}}, "`answered_by.minus` and `direction`"),
        ({"value": None, "kind": "count"}, "`value` of pcgrad/toy-lower-loss must be a number, found null"),
        ({"spread": 1.0}, "`spread` and `spread_kind` of pcgrad/toy-lower-loss must be given together"),
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "`colour` of recon/table-1 must be a known field"),
        ({"base": "Nobody"}, "`base` of recon/table-1 must be one of its rows, found 'Nobody'"),
        (
            {"baseline": "RotoGrad"},
            "`experiment` of recon/table-1/RotoGrad must be given, as it is the table's baseline",
        ),
    ],
)
def test_malformed_table_is_refused(change: dict[str, Any], message: str) -> None:
    broken = copy.deepcopy(document("recon"))
    broken["tables"][0] |= change
    with pytest.raises(ValueError, match=message):
        read(broken)


def test_the_report_refuses_a_ledger_that_names_a_missing_experiment(checkout: Path) -> None:
    shutil.copytree(FOLDER, checkout / "data/published")
    table = {"problems": {"pcgrad_toy": {"methods": {"pcgrad": None}}}}
    (checkout / "params.yaml").write_text(yaml.safe_dump(table))
    with pytest.raises(ValueError, match=r"`answered_by` of .* must name an experiment of the table, found"):
        gather(checkout)
