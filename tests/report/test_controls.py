"""Controls on made-up histories: what the placebos say follows the numbers, and a repeat must repeat."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from gradsurgery.evidence.history import Run, parse
from gradsurgery.evidence.scores import evaluate
from gradsurgery.report import controls
from gradsurgery.report.papers.controls import section
from gradsurgery.report.section import Evidence
from gradsurgery.report.style import label

Make = Callable[..., dict[str, list[Run]]]


@pytest.fixture
def make(made_up: Callable[..., dict]) -> Make:
    """Runs by method from shifts by method; `edit` may change every record."""

    def build(
        shifts: dict[str, float], seeds: int = 5, edit: Callable[[dict], Any] | None = None
    ) -> dict[str, list[Run]]:
        made = {}
        for method, shift in shifts.items():
            records = [made_up("p", method.removesuffix("-repeat"), seed, shift) for seed in range(seeds)]
            for record in records:
                record["experiment"] = f"p-{method}"
                if edit is not None:
                    edit(record)
            made[method] = parse([json.dumps(record) for record in records], method)
        return made

    return build


SHIFTS = {"sum": 0.0, "pcgrad": 0.02, "placebo_random": 0.0, "placebo_positive": 0.02, "placebo_permuted": 0.04}


def test_levels_are_of_the_test_set_at_the_epoch_that_validates_best(make: Make) -> None:
    def shape(record: dict[str, Any]) -> None:
        for index, row in enumerate(record["epochs"]):
            for task, level in (("left", 0.2), ("right", 0.4)):
                row[f"val.{task}.accuracy"] = 0.9 if index == 1 else 0.5
                row[f"test.{task}.accuracy"] = level + 0.1 * index + 0.01 * record["seed"]

    found = controls.levels(make({"sum": 0.0}, seeds=2, edit=shape)["sum"], "best-val")
    assert found == pytest.approx({0: 0.4, 1: 0.41})


def test_a_seed_that_one_side_lacks_moves_no_other_pair(make: Make) -> None:
    runs = make(SHIFTS)
    del runs["placebo_random"][1]
    entry = controls.placebos(runs, "best-val")["placebo_random"].difference
    assert (entry.n, entry.mean) == (4, pytest.approx(0.02, abs=0.002))
    assert entry.sd is not None
    assert entry.sd < 0.005, "seeds move by 0.05"


def test_placebos_are_corrected_together(make: Make) -> None:
    compared = controls.placebos(make(SHIFTS), "best-val")
    smallest = min(compared.values(), key=lambda entry: entry.p if entry.p is not None else 1.0)
    assert smallest.p is not None
    assert smallest.p_holm == pytest.approx(4 * smallest.p)


def test_placebos_are_compared_by_seed(make: Make) -> None:
    compared = controls.placebos(make(SHIFTS), "best-val")
    assert list(compared) == ["placebo_random", "placebo_positive", "placebo_permuted", "sum"]
    assert compared["placebo_random"].difference.mean == pytest.approx(0.02, abs=0.002)
    assert compared["placebo_random"].separates()
    assert not compared["placebo_positive"].separates()
    assert compared["placebo_permuted"].difference.mean < 0


def test_the_sentence_follows_the_numbers(make: Make) -> None:
    text = controls.placebo_sentence(make(SHIFTS), "best-val")
    random, positive, permuted = (label(m) for m in controls.PLACEBOS)
    assert text.startswith(f"PCGrad is better than {random}; worse than {permuted}; not told from {positive}")
    assert text.endswith("leaves the mechanism unsupported here.")
    good = {**SHIFTS, "placebo_positive": 0.0, "placebo_permuted": 0.0}
    assert controls.placebo_sentence(make(good), "best-val").endswith("(n = 5, Holm over 4).")
    assert controls.placebo_sentence(make({"sum": 0.0, "pcgrad": 0.0}), "best-val") == ""
    assert controls.placebo_sentence(make({"sum": 0.0}), "best-val") == ""


@pytest.mark.parametrize("line", ["sum-long", "sum-equal_passes"])
def test_equal_passes_have_their_own_word(make: Make, line: str) -> None:
    for shift, word in ((0.05, "worse (-"), (0.0, "better (+"), (0.02, "no difference detected (")):
        text = controls.placebo_sentence(make({**SHIFTS, line: shift}), "best-val")
        assert f"Against the sum with as many backward passes: {word}" in text


def test_a_small_test_set_supports_nothing(make: Make) -> None:
    def shrink(record: dict[str, Any]) -> None:
        record["declaration"]["settings"] = {"test_size": 100}

    text = controls.placebo_sentence(make({**SHIFTS, "sum-equal_passes": 0.05}, edit=shrink), "best-val")
    assert text.startswith(f"PCGrad is not told from {', '.join(label(m) for m in controls.PLACEBOS)}")
    assert "as many backward passes: no difference detected (-2." in text


def test_the_noise_is_that_of_the_noisiest_pair(make: Make) -> None:
    """Accuracies near one half move most with the test set; of several, none may lend another its smaller noise."""

    def shrink(record: dict[str, Any]) -> None:
        record["declaration"]["settings"] = {"test_size": 100}

    runs = make({"pcgrad": 0.0, "placebo_random": -0.4, "placebo_positive": 0.0}, edit=shrink)
    shares = {m: sum(controls.levels(runs[m], "last").values()) / 5 for m in runs}
    variance = sum(shares[m] * (1 - shares[m]) for m in ("pcgrad", "placebo_random"))
    assert controls.noise_of(runs, tuple(runs), "last") == pytest.approx(1.96 * (variance / 100) ** 0.5, rel=1e-3)


def test_lower_is_better_turns_the_verdict_round(make: Make) -> None:
    def turn(record: dict[str, Any]) -> None:
        record["metrics"] = dict.fromkeys(record["metrics"], False)

    compared = controls.placebos(make(SHIFTS, edit=turn), "last")
    assert compared["placebo_random"].difference.mean < 0
    table = controls.placebo_table(make(SHIFTS, edit=turn), "last")
    shown = table.iloc[0, 1]
    assert not shown.startswith("-")  # a level is shown as it is
    level, low, high = (float(number) for number in shown.replace("[", "").replace("]", "").replace(",", "").split())
    assert low < level < high


def test_tuned_weights_are_chosen_on_validation(make: Make) -> None:
    def lucky(record: dict[str, Any]) -> None:
        if record["experiment"] == "p-static-30":
            for row in record["epochs"]:
                row["test.left.accuracy"] = row["test.right.accuracy"] = 0.999

    runs = make({"sum": 0.0, "static-10": -0.02, "static-30": -0.01, "static-50": 0.01}, edit=lucky)
    chosen, weights, count = controls.tuned(runs, "best-val")
    assert (set(weights.values()), count) == ({0.5}, 3)
    assert 0.999 not in chosen.values()
    table = controls.tuned_table({**runs, "sum-repeat": runs["sum"], "sum-half_batches": runs["sum"]}, "best-val")
    assert table["method"][0].startswith("static weights, best of 3 on validation")
    assert table["trials"].tolist() == [3, 1]
    for fewer in ({"static-10": 0.0}, {"static-10": 0.0, "static-30": 0.0}):
        assert controls.tuned_table(make({"sum": 0.0, **fewer}), "best-val").empty, "two weights are not tuned"


def test_weights_of_another_budget_are_not_among_the_tuned(make: Make) -> None:
    def elsewhere(record: dict[str, Any]) -> None:
        if record["experiment"] in ("p-static-90", "p-pcgrad"):
            record["track"] = "reference"
        if record["experiment"] == "p-static-50":
            record["declaration"]["balancer"]["weights"] = [0.75, 2.25]

    shifts = {"sum": 0.0, "pcgrad": 0.0, "static-10": -0.02, "static-30": -0.01, "static-50": 0.0, "static-90": 0.05}
    runs = make(shifts, edit=elsewhere)
    _, weights, count = controls.tuned(runs, "best-val")
    assert (set(weights.values()), count) == ({0.25}, 3), "0.75 of 3"
    assert controls.tuned_table(runs, "best-val")["method"].tolist()[1:] == ["sum"]


def test_an_exact_repeat_has_no_floor(make: Make) -> None:
    runs = make({"sum": 0.0, "sum-repeat": 0.0}, seeds=3)
    table = controls.noise_floor(runs, "best-val")
    assert table.iloc[0].tolist()[:3] == ["sum", 3, "0"]
    spread, unit = table.iloc[0, 3].split()
    assert float(spread) > 0.1
    assert (unit, table.iloc[0, 4]) == ("points", 3)
    assert controls.noise_sentence(table).startswith("Run again on the same seed, 1 of 1 experiments gave the same")


@pytest.mark.parametrize("where", ["epochs", "diagnostics"])
def test_a_repeat_that_differs_anywhere_is_seen(make: Make, where: str) -> None:
    runs = make({"sum": 0.0, "sum-repeat": 0.0}, seeds=2)
    rows = getattr(runs["sum-repeat"][1], where)
    key = next(k for k in rows[2] if k not in ("epoch", "step"))
    rows[2][key] += 0.25
    assert controls.noise_floor(runs, "best-val").iloc[0, 2] == "0.25"
    told = controls.noise_sentence(controls.noise_floor(runs, "best-val"))
    assert told.startswith("Run again on the same seed, 0 of 1 experiments")
    assert "elsewhere is 0.25;" in told
    rows.pop()
    assert controls.noise_floor(runs, "best-val").iloc[0, 2] == "inf"


@pytest.mark.parametrize(
    ("same", "word"), [(0.9, "agree less"), (-0.9, "agree more"), (None, "No difference detected")]
)
def test_the_null_of_half_batches(make: Make, same: float | None, word: str) -> None:
    def measure(record: dict[str, Any]) -> None:
        for i, row in enumerate(record["diagnostics"]):
            cross = row["mean_cosine"] / 2
            row["null.cross_task"], row["null.random_sd"] = cross, 0.01
            row["null.same_task"] = cross + (-1) ** (record["seed"] + i // 7) * 0.01 if same is None else same

    runs = make({"sum-half_batches": 0.0, "placebo_permuted": 0.0}, seeds=3, edit=measure)
    assert word in controls.null_sentence(runs)
    table = controls.nulls({"sum-half_batches": runs["sum-half_batches"]})
    assert table["gradients of"].tolist() == [
        "two tasks, whole batch (trained with sum)", "two tasks, one half of the batch each (trained with sum)",
        "one task, two halves of the batch (trained with sum)", "two random directions, P = 10,000 (computed)",
    ]  # fmt: skip
    assert table["n"][0] == "3 seeds, 90 steps"


def test_a_row_of_the_nulls_by_hand(make: Make) -> None:
    """Seeds' means are 0.1, 0.2, 0.3 and not their medians; the interval is over three seeds, the share over steps."""
    cosines = {0: [-0.2, -0.1, 0.6], 1: [-0.2, 0.2, 0.6], 2: [0.1, 0.2, 0.6]}

    def log(record: dict[str, Any]) -> None:
        rows = [{"step": i, "mean_cosine": c} for i, c in enumerate(cosines[record["seed"]])]
        null = {"null.cross_task": 0.4, "null.same_task": 0.5 + 0.1 * record["seed"]}
        record["diagnostics"] = [row | null for row in rows]

    runs = make({"sum-half_batches": 0.0}, seeds=3, edit=log)
    assert "(mean cosine -0.200 [-0.448, +0.048], n = 3)" in controls.null_sentence(runs)
    row = controls.nulls(runs).iloc[0]
    assert row["mean cosine"] == "0.200 [-0.048, 0.448]"  # 0.2 +- 4.303 * 0.1 / sqrt 3
    assert (row["share below 0"], row["n"]) == ("0.33", "3 seeds, 9 steps")


def test_the_section_names_what_it_stands_on(make: Make) -> None:
    def trade(record: dict[str, Any]) -> None:
        if record["declaration"]["balancer"]["name"] == "static":
            record["declaration"]["aggregator"] = {"name": "sum"}
            slope = record["declaration"]["balancer"]["weights"][0] - 0.5
            for row in record["epochs"]:
                for split in ("val", "test"):
                    row[f"{split}.left.accuracy"] += 0.1 * slope
                    row[f"{split}.right.accuracy"] -= 0.1 * slope
        if record["experiment"] == "p-sam_gs":
            record["declaration"]["aggregator"] = {"name": "sam_gs"}

    shifts = {**SHIFTS, "static-10": -0.01, "static-50": 0.0, "static-90": -0.01, "sum-repeat": 0.0, "sam_gs": 0.0}
    groups = {f"p-{m}": group for m, group in make(shifts, edit=trade).items()}
    made = section(Evidence(groups, evaluate(groups, {}), {}))
    assert made is not None
    assert [s.name for s in made.sheets] == [
        *(f"controls-p-{part}" for part in ("tuned", "front", "placebos", "nulls", "barred")), "controls-noise",
    ]  # fmt: skip
    assert [d.name for d in made.drawings] == ["controls-p-front"]
    assert "p (scale smoke, selection best-val)" in made.ran
    assert made.brief.startswith(f"p: PCGrad is better than {label('placebo_random')}")
    assert made.brief.endswith("(n = 5, Holm over 4).")
    assert f"p: PCGrad is better than {label('placebo_random')}" in made.found
    assert made.sheets[-2].frame.to_dict("records") == [
        {"method": "SAM-GS", "why": "clips for itself (sam_gs.max_norm = 1) where the problem clips at None"}
    ]


def test_no_controls_no_section(make: Make) -> None:
    groups = {f"p-{m}": group for m, group in make({"sum": 0.0, "pcgrad": 0.0}).items()}
    assert section(Evidence(groups, evaluate(groups, {}), {})) is None
    assert copy.deepcopy(groups) == groups
