"""Controls on made-up histories: what the placebos say follows the numbers, and a repeat must repeat."""

import copy
from typing import Any

import pytest

from gradsurgery.evidence import controls
from gradsurgery.evidence.history import Run
from gradsurgery.report.papers.controls import placebo_sentence, section
from gradsurgery.report.style import label
from tests.evidence.test_controls import PLACEBOS, SHIFTS, Make, lines
from tests.histories import evidence_of


def said(groups: dict[str, list[Run]]) -> str:
    runs = {group[0].method: group for group in groups.values()}
    return placebo_sentence(controls.placebos(lines(groups)), runs)


def test_the_sentence_follows_the_numbers(experiments: Make) -> None:
    random, positive, permuted = map(label, PLACEBOS)
    text = said(experiments(SHIFTS))
    assert text.startswith(f"PCGrad against placebos: better: {random} (+2.")
    assert f"; worse: {permuted} (-" in text
    assert f"; inconclusive: {positive} (n = 5, exploratory)." in text
    assert text.endswith("leaves the mechanism unsupported here.")
    assert said(experiments({**SHIFTS, "placebo_positive": 0.0, "placebo_permuted": 0.0})).endswith(
        "(n = 5, exploratory)."
    )
    assert said(experiments({"sum": 0.0, "pcgrad": 0.0})) == ""
    assert said(experiments({"sum": 0.0})) == ""


@pytest.mark.parametrize("line", ["sum-long", "sum-equal_passes"])
def test_equal_passes_have_their_own_word(experiments: Make, line: str) -> None:
    for shift, word in ((0.05, "worse (-"), (0.0, "better (+"), (0.02, "inconclusive (")):
        assert f"Against the sum at equal epochs: {word}" in said(experiments({**SHIFTS, line: shift}))


def test_a_small_test_set_supports_nothing(experiments: Make) -> None:
    text = said(experiments({**SHIFTS, "sum-equal_passes": 0.05}, examples=100))
    assert text.startswith(f"PCGrad against placebos: inconclusive: {', '.join(map(label, PLACEBOS))}")
    assert "the sum at equal epochs: inconclusive (-2." in text


@pytest.mark.parametrize("where", ["epochs", "diagnostics"])
def test_a_repeat_that_differs_anywhere_is_seen(experiments: Make, where: str) -> None:
    groups = experiments({"sum": 0.0, "sum-repeat": 0.0}, seeds=2)
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


def test_the_section_names_what_it_stands_on(experiments: Make) -> None:
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
    made = section(evidence_of(experiments(shifts, edit=trade)))
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


def test_no_controls_no_section(experiments: Make) -> None:
    groups = experiments({"sum": 0.0, "pcgrad": 0.0})
    before = copy.deepcopy(groups)
    assert section(evidence_of(groups)) is None
    assert before == groups
