"""What can be recomputed from a published table is recomputed: Delta-m, copied rows, ranks under another heading."""

import pytest

from gradsurgery.core.metrics import delta_m_task
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
