"""What can be recomputed from a published table is recomputed: Delta-m, copied rows, ranks under another heading."""

import dataclasses

import pytest

from gradsurgery.core.metrics import delta_m_task
from gradsurgery.ledger.arithmetic import Table
from tests.published import PAPERS, paper, table


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


def test_throughput_of_gcond_agrees_with_its_epoch_times() -> None:
    for name, pictures in (("gcond/table-3-imagenet", 1.2805e6), ("gcond/table-3-ct", 1.8405e6)):
        for cells in table(name).rows.values():
            assert cells["cost.epoch_seconds"] * cells["cost.samples_per_second"] == pytest.approx(pictures, rel=2e-3)


HAND = Table(
    id="p/hand", metrics={"a.accuracy": True, "b.error": False},
    rows={"base": {"a.accuracy": 50.0, "b.error": 2.0}, "ours": {"a.accuracy": 60.0, "b.error": 1.0}},
    also={}, base="base", over="metrics", higher_is_better=False, printed={"ours": -35.0}, tolerance=0.1, doubtful={},
)  # fmt: skip


def test_delta_m_by_hand() -> None:
    """A fifth more accuracy is -20 %, half the error -50 %: their mean is -35, and +35 where higher is better."""
    assert HAND.recomputed() == pytest.approx({"ours": -35.0})
    assert dataclasses.replace(HAND, higher_is_better=True).recomputed() == pytest.approx({"ours": 35.0})
    assert HAND.flaws() == {}
    assert dataclasses.replace(HAND, base=None).recomputed() == {}


def test_delta_m_over_tasks_averages_within_a_task_first() -> None:
    more = {"a.accuracy": True, "a.recall": True, "b.error": False}
    rows = {name: {**row, "a.recall": row["a.accuracy"]} for name, row in HAND.rows.items()}
    table = dataclasses.replace(HAND, metrics=more, rows=rows)
    assert table.recomputed() == pytest.approx({"ours": -30.0}), "(-20 - 20 - 50) / 3"
    assert dataclasses.replace(table, over="tasks").recomputed() == pytest.approx({"ours": -35.0})


def test_a_row_with_an_empty_cell_is_not_recomputed() -> None:
    rows = {**HAND.rows, "ours": {"a.accuracy": 60.0}}
    assert dataclasses.replace(HAND, rows=rows).recomputed() == {}


@pytest.mark.parametrize(("printed", "found"), [(-35.09, {}), (-35.2, {"ours": -35.0}), (35.0, {"ours": -35.0})])
def test_only_what_rounding_does_not_explain_is_a_disagreement(printed: float, found: dict[str, float]) -> None:
    assert dataclasses.replace(HAND, printed={"ours": printed}).disagreements() == pytest.approx(found)


def test_ranks_under_another_heading_are_told_by_their_sum() -> None:
    ranks = {f"row {i}": {"all.delta_m": float(i)} for i in range(1, 6)}
    table = dataclasses.replace(HAND, rows=ranks, printed={})
    assert table.disguised_ranks() == list(ranks)
    moved = {**ranks, "row 5": {"all.delta_m": 5.5}}
    assert dataclasses.replace(table, rows=moved).disguised_ranks() == []


def test_mean_ranks_must_sum_to_those_of_so_many_rows() -> None:
    also = {"x": {"all.mean_rank": 1.0}, "y": {"all.mean_rank": 2.0}, "z": {"all.mean_rank": 2.9}}
    table = dataclasses.replace(HAND, also=also)
    assert table.rank_sum() == (5.9, 6.0)
    assert table.column_flaws() == {}, "rounded to one decimal"
    two = {"x": {"all.mean_rank": 1.0}, "y": {"all.mean_rank": 1.9}}
    assert dataclasses.replace(table, also=two).column_flaws() == {}, "as far as rounding goes, and no further"
    wrong = dataclasses.replace(table, also={**also, "z": {"all.mean_rank": 2.5}}).column_flaws()
    rows, text = wrong["all.mean_rank"]
    assert rows == ["x", "y", "z"]
    assert text == "the mean ranks of this column sum to 5.5, those of 3 rows must sum to 6"
    assert HAND.rank_sum() is None
