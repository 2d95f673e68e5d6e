"""Controls on made-up histories: placebos by seed, weights chosen on validation, and what chance gives."""

from collections.abc import Callable
from typing import Any

import pytest

from gradsurgery.evidence import controls
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.lines import Line, lines_of
from gradsurgery.evidence.words import BETTER, INCONCLUSIVE, WORSE

Make = Callable[..., dict[str, list[Run]]]
PLACEBOS = ("placebo_random", "placebo_positive", "placebo_permuted")


SHIFTS = {"sum": 0.0, "pcgrad": 0.02, "placebo_random": 0.0, "placebo_positive": 0.02, "placebo_permuted": 0.04}


def lines(groups: dict[str, list[Run]]) -> dict[str, Line]:
    return lines_of(groups, "best-val")


def compared(groups: dict[str, list[Run]]) -> dict[str, Contrast]:
    return {c.minus: c for c in controls.placebos(lines(groups))}


def test_placebos_are_compared_by_seed(experiments: Make) -> None:
    found = compared(experiments(SHIFTS))
    assert list(found) == [*PLACEBOS, "sum"]
    assert found["placebo_random"].difference.mean == pytest.approx(0.02, abs=0.002)
    assert [found[m].verdict for m in PLACEBOS] == [BETTER, INCONCLUSIVE, WORSE]


def test_a_seed_that_one_side_lacks_moves_no_other_pair(experiments: Make) -> None:
    groups = experiments(SHIFTS)
    del groups["p-placebo_random"][1]
    entry = compared(groups)["placebo_random"].difference
    assert (entry.n, entry.mean) == (4, pytest.approx(0.02, abs=0.002))
    assert entry.sd is not None
    assert entry.sd < 0.005, "seeds move by 0.05"


def test_the_noise_is_that_of_the_pair(experiments: Make) -> None:
    groups = experiments({"pcgrad": 0.0, "placebo_random": -0.4}, examples=100)
    own = lines(groups)
    found = compared(groups)["placebo_random"].noise
    assert found is not None
    assert found == own["pcgrad"].noise(own["placebo_random"], "all.accuracy")


def test_lower_is_better_turns_the_verdict_round(experiments: Make) -> None:
    def turn(record: dict[str, Any]) -> None:
        record["metrics"] = dict.fromkeys(record["metrics"], False)

    found = compared(experiments(SHIFTS, edit=turn))["placebo_random"]
    assert found.verdict == WORSE
    assert found.difference.mean > 0 > found.gain.mean


def test_tuned_weights_are_chosen_on_validation(experiments: Make) -> None:
    def lucky(record: dict[str, Any]) -> None:
        if record["experiment"] == "p-static-30":
            for row in record["epochs"]:
                row["test.left.accuracy"] = row["test.right.accuracy"] = 0.999

    groups = experiments(
        {"sum": 0.0, "static-10": -0.02, "static-30": -0.01, "static-50": 0.01, "sum-repeat": 0.0}, edit=lucky
    )
    found = controls.tuned(lines(groups))
    assert found is not None
    assert (set(found[0].shares), found[0].count) == ({0.5}, 3)
    assert found[0].level.mean < 0.99
    assert [c.method for c in found[1]] == ["sum"]
    for fewer in ({"static-10": 0.0}, {"static-10": 0.0, "static-30": 0.0}):
        assert controls.tuned(lines(experiments({"sum": 0.0, **fewer}))) is None, "two weights are not tuned"


def test_where_nothing_is_held_out_no_weights_are_tuned(experiments: Make) -> None:
    def whole(record: dict[str, Any]) -> None:
        record["declaration"]["settings"] = {**record["declaration"]["settings"], "hold_out": False}

    shifts = {"sum": 0.0, "static-10": -0.02, "static-30": -0.01, "static-50": 0.01}
    assert controls.tuned(lines(experiments(shifts))) is not None
    assert controls.tuned(lines(experiments(shifts, edit=whole))) is None


def test_weights_of_another_budget_are_not_among_the_tuned(experiments: Make) -> None:
    def elsewhere(record: dict[str, Any]) -> None:
        if record["experiment"] in ("p-static-90", "p-pcgrad"):
            record["track"] = "reference"
        if record["experiment"] == "p-static-50":
            record["declaration"]["balancer"]["weights"] = [0.75, 2.25]

    shifts = {"sum": 0.0, "pcgrad": 0.0, "static-10": -0.02, "static-30": -0.01, "static-50": 0.0, "static-90": 0.05}
    found = controls.tuned(lines(experiments(shifts, edit=elsewhere)))
    assert found is not None
    assert (set(found[0].shares), found[0].count) == ({0.25}, 3), "0.75 of 3"
    assert [c.method for c in found[1]] == ["sum"]


def test_a_repeat_that_is_observed_less_is_compared_on_what_both_have(experiments: Make) -> None:
    def less(record: dict[str, Any]) -> None:
        if record["experiment"] == "p-sum-repeat":
            record["role"] = {"kind": "repeat", "of": "sum"}
            for row in record["diagnostics"]:
                row.pop("mean_cosine", None)

    def other(record: dict[str, Any]) -> None:
        less(record)
        if record["experiment"] == "p-sum-repeat":
            record["epochs"][0]["extra"] = 1.0

    (same,) = controls.repeats(lines(experiments({"sum": 0.0, "sum-repeat": 0.0}, edit=less)))
    assert same.largest == 0.0
    (apart,) = controls.repeats(lines(experiments({"sum": 0.0, "sum-repeat": 0.0}, edit=other)))
    assert apart.largest is None, "epochs hold the same of every line"
