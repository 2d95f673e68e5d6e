"""Figures of the landscapes: every path is there, from its ring to its dot, and a title counts the starts solved."""

import numpy as np
import pytest

from gradsurgery.evidence.history import Run
from gradsurgery.report.landscapes import end_points, loss_space, overview, parameter_space
from tests.histories import as_run, landscape_run

PROBLEM = "cagrad_toy"


def run(method: str, *solved: bool) -> Run:
    return as_run(landscape_run(PROBLEM, method, list(solved)))


@pytest.fixture
def runs() -> dict[str, Run]:
    return {"mean": run("mean", True, False, False), "cagrad-c0_5": run("cagrad-c0_5", True, True, True)}


def test_a_panel_holds_the_path_from_every_start_to_where_it_ends(runs: dict[str, Run]) -> None:
    panels = parameter_space(runs).axes
    assert [axes.get_title() for axes in panels] == ["mean: 1 of 3", "CAGrad, c = 0.5: 3 of 3"]
    theta = np.array(runs["mean"].trajectory["theta"])  # steps, starts, 2
    marks = [line.get_xydata() for line in panels[0].lines]
    assert len(marks) == 3 * 3, "a path, a ring and a dot for every start"
    for start in range(3):
        path, ring, dot = marks[3 * start : 3 * start + 3]
        assert path == pytest.approx(theta[:, start])
        assert ring[0] == pytest.approx(theta[0, start])
        assert dot[0] == pytest.approx(theta[-1, start])


def test_loss_space_holds_the_two_losses_instead(runs: dict[str, Run]) -> None:
    panel = loss_space(runs).axes[1]
    losses = np.array(runs["cagrad-c0_5"].trajectory["losses"])
    assert panel.lines[0].get_xydata() == pytest.approx(losses[:, 0])
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("loss of the first task", "loss of the second task")


def test_ends_are_a_cumulative_share_of_starts_by_total_loss(runs: dict[str, Run]) -> None:
    left, right = end_points({"mean": runs["mean"]}).axes
    steps = next(line for line in left.lines if line.get_label() == "mean")
    assert steps.get_xdata() == pytest.approx([2 * -15.09, 5.0, 5.0]), "the solved start, then the two stuck at 2 + 3"
    assert steps.get_ydata() == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert len(right.lines[0].get_xydata()) == 3


def test_the_overview_shows_the_middle_variant_of_each_family() -> None:
    made = {m: run(m, True) for m in ("cagrad-c0_2", "cagrad-c0_5", "cagrad-c0_8", "mean", "sam_gs")}
    for method, one in made.items():
        one.declaration["aggregator"]["name"] = method.split("-")[0]
    titles = [axes.get_title() for axes in overview(made).axes if axes.get_visible()]
    assert titles == ["mean: 1 of 1", "CAGrad, c = 0.5: 1 of 1"]
    other = overview({"sam_gs": made["sam_gs"]}).axes
    assert [axes.get_title() for axes in other] == ["SAM-GS: 1 of 1"], "without any of the families, what there is"
