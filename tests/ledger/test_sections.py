"""Readings: the first pattern that fits is said, and a pattern that cannot fit is refused."""

from pathlib import Path

import pytest
import yaml

from gradsurgery.ledger.sections import Reading, read_section

FOLDER = Path(__file__).parents[2] / "data/published"
GCOND = read_section(yaml.safe_load((FOLDER / "gcond.yaml").read_text(encoding="utf-8"))["section"])


@pytest.mark.parametrize(
    ("verdicts", "starts"),
    [
        ({"sum": ["better", "better"]}, "The control that smooths the weighted sum was not run"),
        ({"sum": ["better", "same"], "sum-ema": ["same", "same"]}, "So its gain is not shown"),
        ({"sum": ["same", "same"], "sum-ema": ["same", "better"]}, "So the resolution of conflicts adds"),
        ({"sum": ["better", "same"], "sum-ema": ["worse", "better"]}, ""),
        ({"sum": ["worse", "same"], "sum-ema": ["same", "same"]}, ""),
        ({"sum": ["alone", "alone"], "sum-ema": ["alone", "alone"]}, ""),
    ],
)
def test_the_readings_of_gcond(verdicts: dict[str, list[str]], starts: str) -> None:
    said = GCOND.reading(verdicts)
    assert said.startswith(starts)
    assert bool(said) == bool(starts)


@pytest.mark.parametrize("condition", ["better", "most better", "all good", ""])
def test_a_condition_that_cannot_hold_is_refused(condition: str) -> None:
    with pytest.raises(ValueError, match="`when` of a reading must be `missing`, or one of all, any, no"):
        Reading({"sum": condition}, "x")


def test_a_block_has_a_kind() -> None:
    with pytest.raises(ValueError, match="`blocks` must be blocks with a `kind`, found"):
        read_section({"claim": "c", "blocks": [{"problems": []}]})


@pytest.mark.parametrize("changed", [{"claim": float("nan")}, {"claim": -1}, {"note": 3}, {"claim": None}])
def test_a_section_says_texts(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(changed))}` of `section` must be a text, found"):
        read_section({"claim": "c", **changed})


@pytest.mark.parametrize("changed", [{"say": 5}, {"when": "all better"}, {"when": {"sum": 5}}])
def test_a_reading_says_a_text_about_lines(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(changed))}` of a reading must be"):
        read_section({"claim": "c", "readings": [{"when": {"sum": "all better"}, "say": "s", **changed}]})


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_paper_declares_its_claim(path: Path) -> None:
    assert read_section(yaml.safe_load(path.read_text(encoding="utf-8"))["section"]).claim.endswith(".")
