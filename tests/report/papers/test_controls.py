"""Controls on made-up histories: what the placebos say follows the numbers, and a repeat must repeat."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from gradsurgery.evidence import controls
from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.history import Run, parse
from gradsurgery.evidence.lines import Line, lines_of
from gradsurgery.evidence.words import BETTER, INCONCLUSIVE, WORSE
from gradsurgery.report.nulls import sentence as null_sentence
from gradsurgery.report.papers.controls import placebo_sentence, section
from gradsurgery.report.style import label
from tests.histories import evidence_of, role_of, with_examples

Make = Callable[..., dict[str, list[Run]]]
PLACEBOS = ("placebo_random", "placebo_positive", "placebo_permuted")


@pytest.fixture
def make(made_up: Callable[..., dict]) -> Make:
    """Runs by experiment from shifts by method; `edit` may change every record."""

    def build(
        shifts: dict[str, float], seeds: int = 5, edit: Callable[[dict], Any] | None = None, examples: int = 0
    ) -> dict[str, list[Run]]:
        made = {}
        for method, shift in shifts.items():
            records = [made_up("p", method.removesuffix("-repeat"), seed, shift) for seed in range(seeds)]
            for record in records:
                record |= {"experiment": f"p-{method}", "role": role_of(method)}
                if edit is not None:
                    edit(record)
            read = parse([json.dumps(record) for record in records], method)
            made[f"p-{method}"] = [with_examples(run, examples) for run in read] if examples else read
        return made

    return build


SHIFTS = {"sum": 0.0, "pcgrad": 0.02, "placebo_random": 0.0, "placebo_positive": 0.02, "placebo_permuted": 0.04}


def lines(groups: dict[str, list[Run]]) -> dict[str, Line]:
    return lines_of(groups, "best-val")


def compared(groups: dict[str, list[Run]]) -> dict[str, Contrast]:
    return {c.minus: c for c in controls.placebos(lines(groups))}


def said(groups: dict[str, list[Run]]) -> str:
    runs = {group[0].method: group for group in groups.values()}
    return placebo_sentence(controls.placebos(lines(groups)), runs)


def test_placebos_are_compared_by_seed(make: Make) -> None:
    found = compared(make(SHIFTS))
    assert list(found) == [*PLACEBOS, "sum"]
    assert found["placebo_random"].difference.mean == pytest.approx(0.02, abs=0.002)
    assert [found[m].verdict for m in PLACEBOS] == [BETTER, INCONCLUSIVE, WORSE]


def test_a_seed_that_one_side_lacks_moves_no_other_pair(make: Make) -> None:
    groups = make(SHIFTS)
    del groups["p-placebo_random"][1]
    entry = compared(groups)["placebo_random"].difference
    assert (entry.n, entry.mean) == (4, pytest.approx(0.02, abs=0.002))
    assert entry.sd is not None
    assert entry.sd < 0.005, "seeds move by 0.05"


def test_the_sentence_follows_the_numbers(make: Make) -> None:
    random, positive, permuted = map(label, PLACEBOS)
    text = said(make(SHIFTS))
    assert text.startswith(f"PCGrad against placebos: better: {random} (+2.")
    assert f"; worse: {permuted} (-" in text
    assert f"; inconclusive: {positive} (n = 5, exploratory)." in text
    assert text.endswith("leaves the mechanism unsupported here.")
    assert said(make({**SHIFTS, "placebo_positive": 0.0, "placebo_permuted": 0.0})).endswith("(n = 5, exploratory).")
    assert said(make({"sum": 0.0, "pcgrad": 0.0})) == ""
    assert said(make({"sum": 0.0})) == ""


@pytest.mark.parametrize("line", ["sum-long", "sum-equal_passes"])
def test_equal_passes_have_their_own_word(make: Make, line: str) -> None:
    for shift, word in ((0.05, "worse (-"), (0.0, "better (+"), (0.02, "inconclusive (")):
        assert f"Against the sum at equal epochs: {word}" in said(make({**SHIFTS, line: shift}))


def test_a_small_test_set_supports_nothing(make: Make) -> None:
    text = said(make({**SHIFTS, "sum-equal_passes": 0.05}, examples=100))
    assert text.startswith(f"PCGrad against placebos: inconclusive: {', '.join(map(label, PLACEBOS))}")
    assert "the sum at equal epochs: inconclusive (-2." in text


def test_the_noise_is_that_of_the_pair(make: Make) -> None:
    groups = make({"pcgrad": 0.0, "placebo_random": -0.4}, examples=100)
    own = lines(groups)
    found = compared(groups)["placebo_random"].noise
    assert found is not None
    assert found == own["pcgrad"].noise(own["placebo_random"], "all.accuracy")


def test_lower_is_better_turns_the_verdict_round(make: Make) -> None:
    def turn(record: dict[str, Any]) -> None:
        record["metrics"] = dict.fromkeys(record["metrics"], False)

    found = compared(make(SHIFTS, edit=turn))["placebo_random"]
    assert found.verdict == WORSE
    assert found.difference.mean > 0 > found.gain.mean


def test_tuned_weights_are_chosen_on_validation(make: Make) -> None:
    def lucky(record: dict[str, Any]) -> None:
        if record["experiment"] == "p-static-30":
            for row in record["epochs"]:
                row["test.left.accuracy"] = row["test.right.accuracy"] = 0.999

    groups = make(
        {"sum": 0.0, "static-10": -0.02, "static-30": -0.01, "static-50": 0.01, "sum-repeat": 0.0}, edit=lucky
    )
    found = controls.tuned(lines(groups))
    assert found is not None
    assert (set(found[0].shares), found[0].count) == ({0.5}, 3)
    assert found[0].level.mean < 0.99
    assert [c.method for c in found[1]] == ["sum"]
    for fewer in ({"static-10": 0.0}, {"static-10": 0.0, "static-30": 0.0}):
        assert controls.tuned(lines(make({"sum": 0.0, **fewer}))) is None, "two weights are not tuned"


def test_weights_of_another_budget_are_not_among_the_tuned(make: Make) -> None:
    def elsewhere(record: dict[str, Any]) -> None:
        if record["experiment"] in ("p-static-90", "p-pcgrad"):
            record["track"] = "reference"
        if record["experiment"] == "p-static-50":
            record["declaration"]["balancer"]["weights"] = [0.75, 2.25]

    shifts = {"sum": 0.0, "pcgrad": 0.0, "static-10": -0.02, "static-30": -0.01, "static-50": 0.0, "static-90": 0.05}
    found = controls.tuned(lines(make(shifts, edit=elsewhere)))
    assert found is not None
    assert (set(found[0].shares), found[0].count) == ({0.25}, 3), "0.75 of 3"
    assert [c.method for c in found[1]] == ["sum"]


@pytest.mark.parametrize("where", ["epochs", "diagnostics"])
def test_a_repeat_that_differs_anywhere_is_seen(make: Make, where: str) -> None:
    groups = make({"sum": 0.0, "sum-repeat": 0.0}, seeds=2)
    (same,) = controls.repeats(lines(groups))
    assert (same.method, same.again, same.seeds, same.largest) == ("sum", "sum-repeat", 2, 0.0)
    assert same.spread.sd is not None
    assert same.spread.sd > 0.001
    rows = getattr(groups["p-sum-repeat"][1], where)
    key = next(k for k in rows[2] if k not in ("epoch", "step"))
    rows[2][key] += 0.25
    assert controls.repeats(lines(groups))[0].largest == pytest.approx(0.25)
    made = section(evidence_of(groups))
    assert made is not None
    assert made.found.startswith("Run again on the same seed, 0 of 1 experiments")
    assert "elsewhere is 0.25;" in made.found
    rows.pop()
    assert controls.repeats(lines(groups))[0].largest is None


@pytest.mark.parametrize(("same", "word"), [(0.9, "agree less"), (-0.9, "agree more"), (None, "Inconclusive")])
def test_the_null_of_half_batches(make: Make, same: float | None, word: str) -> None:
    def measure(record: dict[str, Any]) -> None:
        for i, row in enumerate(record["diagnostics"]):
            cross = row["mean_cosine"] / 2
            row["null.cross_task"], row["null.random_sd"] = cross, 0.01
            row["null.same_task"] = cross + (-1) ** (record["seed"] + i // 7) * 0.01 if same is None else same

    groups = make({"sum-half_batches": 0.0}, seeds=3, edit=measure)
    gap = controls.half_batches(lines(groups))
    assert gap is not None
    assert word in null_sentence(gap)
    made = section(evidence_of(groups))
    assert made is not None
    table = made.sheets[0].frame
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

    made = section(evidence_of(make({"sum-half_batches": 0.0}, seeds=3, edit=log)))
    assert made is not None
    assert "(difference of mean cosines -0.200 [-0.448, +0.048], n = 3)" in made.found
    row = made.sheets[0].frame.iloc[0]
    assert row["mean cosine"] == "0.200 [-0.048, 0.448]"  # 0.2 +- 4.303 * 0.1 / sqrt 3
    assert (row["share below 0"], row["n"]) == ("0.33", "3 seeds, 9 steps")


def test_the_section_names_what_it_stands_on(make: Make) -> None:
    def trade(record: dict[str, Any]) -> None:
        if record["declaration"]["balancer"]["name"] == "static":
            slope = record["declaration"]["balancer"]["weights"][0] - 0.5
            for row in record["epochs"]:
                for split in ("val", "test"):
                    row[f"{split}.left.accuracy"] += 0.1 * slope
                    row[f"{split}.right.accuracy"] -= 0.1 * slope
        if record["experiment"] == "p-sam_gs":
            record["declaration"]["settings"]["clip"] = 1.0

    shifts = {**SHIFTS, "static-10": -0.01, "static-50": 0.0, "static-90": -0.01, "sum-repeat": 0.0, "sam_gs": 0.0}
    made = section(evidence_of(make(shifts, edit=trade)))
    assert made is not None
    assert [s.name for s in made.sheets] == [
        *(f"controls-p-{part}" for part in ("tuned", "front", "placebos", "nulls", "barred")), "controls-noise",
    ]  # fmt: skip
    assert [d.name for d in made.drawings] == ["controls-p-front"]
    assert "p (scale smoke, selection best-val)" in made.ran
    assert made.brief.startswith(f"p: PCGrad against placebos: better: {label('placebo_random')} (+2.")
    assert made.brief.endswith("(n = 5, exploratory).")
    assert made.sheets[-2].frame.to_dict("records") == [
        {"method": "SAM-GS", "why": "sets clip to 1.0 where the problem has None"}
    ]


def test_no_controls_no_section(make: Make) -> None:
    groups = make({"sum": 0.0, "pcgrad": 0.0})
    before = copy.deepcopy(groups)
    assert section(evidence_of(groups)) is None
    assert before == groups
