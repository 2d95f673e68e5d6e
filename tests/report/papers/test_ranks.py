"""The section on all problems at once: silent where too little was ranked, and as strong as the ranks are."""

from gradsurgery.report.papers.ranks import section
from gradsurgery.report.sources import Sources
from gradsurgery.report.style import svg
from tests.histories import ranked


def test_too_little_gives_no_section() -> None:
    shifts = {"sum": 0.0, "pcgrad": 0.1, "cagrad-c0_5": 0.2}
    assert section(ranked(shifts, ("one",))) is None
    assert section(ranked(shifts, ("cifar100_a", "cifar100_b", "cifar100_c"))) is None
    assert section(ranked({"sum": 0.0, "pcgrad": 0.1})) is None
    assert section(Sources({}, {}, {}, [], {}, {})) is None


def test_the_section_follows_the_numbers_and_repeats() -> None:
    evidence = ranked({"sum": 0.0, "pcgrad": 0.0, "cagrad-c0_5": 0.1, "sam_gs": -0.1})
    found, again = section(evidence), section(evidence)
    assert found is not None
    assert again is not None
    assert "SAM-GS behind (CAGrad, c = 0.5)" in found.found
    assert "better: (CAGrad, c = 0.5); worse: SAM-GS; inconclusive: PCGrad" in found.found
    assert "12 blocks (one task of one problem each) of 3 problems on 3 data sets" in found.ran
    assert "critical difference 1.35 of a span of 3 ranks" in found.drawings[0].caption
    assert "too few blocks for so many methods" in found.drawings[0].caption  # 1.35 is more than a third of 3
    assert [s.name for s in found.sheets] == ["ranks-methods", "ranks-blocks"]
    assert found.sheets[0].frame["method"].tolist()[0] == "CAGrad, c = 0.5"
    assert [s.frame.to_csv() for s in found.sheets] == [s.frame.to_csv() for s in again.sheets]
    assert svg(found.drawings[0].figure) == svg(again.drawings[0].figure)
