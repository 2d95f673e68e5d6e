"""The sum on three budgets: how many of its epochs each one is, and what may not be read from a long run."""

from collections.abc import Mapping
from typing import Any

import pytest

from gradsurgery.evidence.budgets import Budget, begins_alike, budgets, contrasts, long_run
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line
from gradsurgery.report.papers.compute import section
from tests.budgets import LONG, OWN, SECONDS, SHIFTS, costs, runs
from tests.histories import evidence_of


def lines(made: Mapping[str, list[Run]], rule: str) -> dict[str, Line]:
    return {method: Line(group, rule) for method, group in made.items()}


def paid(made: Mapping[str, list[Run]], costs: dict[str, Any], rule: str) -> dict[str, Budget]:
    return budgets(lines(made, rule), costs)


def compared(made: Mapping[str, list[Run]], costs: dict[str, Any], rule: str) -> dict[tuple[str, str], Contrast]:
    """By budget and method."""
    own = lines(made, rule)
    return {(c.family.removeprefix("equal "), c.method): c for c in contrasts(own, budgets(own, costs))}


def test_each_budget_is_a_number_of_epochs_of_the_sum() -> None:
    found = paid(runs(SHIFTS), costs(SECONDS), "last")
    assert list(found) == ["pcgrad", "cagrad-c0_5"]
    assert found["pcgrad"].epochs == {"epochs": 2, "seconds": 3, "backward passes": 4}
    assert found["cagrad-c0_5"].epochs == {"epochs": 2, "seconds": 2, "backward passes": 4}
    assert (found["pcgrad"].passes, found["pcgrad"].seconds) == (2.0, 1.5)
    gaps = compared(runs(SHIFTS), costs(SECONDS), "last")
    assert {one.difference.n for one in gaps.values()} == {3}
    assert abs(gaps["epochs", "pcgrad"].difference.mean) < 0.01
    # 0.5 x (0.4^2 - 0.4^3) more after the third epoch, and 0.5 x (0.4^2 - 0.4^4) after the fourth
    assert gaps["seconds", "pcgrad"].difference.mean == pytest.approx(-0.048, abs=0.003)
    assert gaps["backward passes", "pcgrad"].difference.mean == pytest.approx(-0.0672, abs=0.003)
    assert gaps["backward passes", "pcgrad"].verdict == "worse"
    assert gaps["backward passes", "cagrad-c0_5"].verdict == "better"


def test_a_cheap_method_never_shortens_the_sum_and_a_dear_one_is_said_to_be() -> None:
    fast = paid(runs(SHIFTS), costs({**SECONDS, "pcgrad": 1.0}), "last")["pcgrad"]
    assert fast.epochs["seconds"] == OWN
    dear = paid(runs(SHIFTS), costs({**SECONDS, "pcgrad": 90.0}, passes=3), "last")["pcgrad"]
    assert dear.epochs == {"epochs": 2, "seconds": LONG, "backward passes": LONG}
    assert list(dear.short) == ["seconds", "backward passes"]


def test_the_rule_chooses_within_the_budget() -> None:
    def peak(record: dict[str, Any]) -> None:
        if record["experiment"].startswith("p-sum"):
            for task in ("left", "right"):
                record["epochs"][0][f"val.{task}.accuracy"] = 0.99  # best-val must take the first epoch everywhere
                record["epochs"][0][f"test.{task}.accuracy"] = 0.5

    gaps = compared(runs(SHIFTS, edit=peak), costs(SECONDS), "best-val")
    means = [c.difference.mean for (_, method), c in gaps.items() if method == "pcgrad"]
    assert means == pytest.approx([means[0]] * 3)
    assert means[0] > 0.2


@pytest.mark.parametrize("what", ["placebo_random", "sum-half_batches", "static-30"])
def test_only_surgery_methods_are_asked(what: str) -> None:
    made = runs({**SHIFTS, what: 0.0})
    assert what not in paid(made, {**costs(SECONDS), **costs({what: 9.0}, passes=1 if "static" in what else 2)}, "last")


def test_other_tracks_and_broken_terms_stay_out() -> None:
    def spoil(record: dict[str, Any]) -> None:
        if record["experiment"] == "p-pcgrad":
            record["track"] = "as-published"
        if record["experiment"] == "p-cagrad-c0_5":
            record["declaration"]["settings"]["batch_size"] = 9

    assert paid(runs(SHIFTS, edit=spoil), costs(SECONDS), "last") == {}


def test_a_long_run_differs_in_its_epochs_alone() -> None:
    def passes(record: dict[str, Any]) -> None:
        if record["experiment"] == "p-sum-equal_passes":
            record["declaration"]["settings"]["passes"] = 4

    old = {"sum": 0.0, "sum-equal_passes": 0.0, "pcgrad": 0.0}
    long = long_run(lines(runs(old), "last"))
    assert long is not None
    assert len(long.runs) == 3
    assert long_run(lines(runs(old, edit=passes), "last")) is None
    assert long_run(lines(runs({"sum": 0.0, "pcgrad": 0.0}), "last")) is None


def test_a_schedule_forbids_reading_a_budget() -> None:
    def schedule(record: dict[str, Any]) -> None:
        if record["experiment"] == "p-sum-long":
            record["epochs"][1]["val.left.accuracy"] += 1e-9

    made = runs(SHIFTS, edit=schedule)
    own = lines(made, "last")
    long = long_run(own)
    assert long is not None
    assert not begins_alike(own, long)
    assert paid(made, costs(SECONDS), "last") == {}
    groups = {f"p-{m}": group for m, group in made.items()}
    told = section(evidence_of(groups, costs(SECONDS)))
    assert told is not None
    assert told.found == "p: the long run does not begin as the sum, so that no budget is read from it."
    assert list(told.sheets) == []
