"""What the site takes from the ledger: claims with the numbers that are printed, and counts of their verdicts."""

import dataclasses
import json

from gradsurgery.evidence.contrasts import Contrast, Contrasts
from gradsurgery.evidence.history import parse
from gradsurgery.evidence.statistics import Comparison, Summary
from gradsurgery.ledger.judging import Finding
from gradsurgery.ledger.records import Answer, Record
from gradsurgery.report.numbers import Beside, Tally, at_equal_passes, beside_sum, by_paper, claims, tally, words
from gradsurgery.report.sources import Sources

RECORD = Record(
    id="p/better", paper="p", version="1", cell="Table 1", statement="A is better than B", short="beats B", task="all",
    metric="accuracy, A minus B (points)", direction="higher", kind="difference", value=1.0, spread=None,
    spread_kind=None, margin=None, seeds=3, selection=None, data="d", network="n", origin="paper", twin=None,
    doubtful=None, answered_by=Answer("q-a", "all.accuracy", "q-b"), unanswered=None, headline=True,
)  # fmt: skip


SUMMARY = Summary(3, 0.50, 0.004, 0.49, 0.51)
NOTHING = Sources({}, {}, {}, [], {}, {})


def finding(ours: str, verdict: str, **fields: object) -> Finding:
    return Finding(dataclasses.replace(RECORD, **fields), ours, "laptop, controlled", verdict)  # type: ignore[arg-type]


def contrast(verdict: tuple[float, float, float] = (0.01, -0.01, 0.03), **fields: str) -> Contrast:
    mean, low, high = verdict
    named = {"family": "sum", "problem": "q", "method": "a", "minus": "b", "metric": "all.accuracy"} | fields
    comparison = Comparison(Summary(3, mean, 0.01, low, high), 0.01, 0.01, 1.0, 3.0, (0.3, 1.0))
    return Contrast(**named, higher=True, comparison=comparison)


def test_a_difference_is_drawn_in_the_units_of_the_paper_and_beside_zero() -> None:
    told = finding("+1.00 [-1.00, +3.00] (n = 3)", "no difference detected")
    (claim,) = claims([dataclasses.replace(told, contrast=contrast())], NOTHING)
    assert (claim.effect, claim.n, claim.anchor, claim.short) == ("+1.00 [-1.00, +3.00]", 3, "better", "beats B")
    assert claim.drawn is not None
    assert claim.drawn.zero is not None
    assert claim.drawn.published == claim.drawn.mean, "one point of accuracy, as the paper has it"
    assert claim.source == "", "nothing of it is there to lead to"


def test_a_level_is_drawn_without_a_zero_and_a_count_between_none_and_all() -> None:
    told = dataclasses.replace(finding("50.00 [49.00, 51.00] (n = 3)", "not run (why)", kind="level"), level=SUMMARY)
    (claim,) = claims([told], NOTHING)
    assert claim.drawn is not None
    assert claim.drawn.zero is None
    assert claim.word == "not run"
    counted = finding("2 of 5", "reproduced", kind="count", answered_by=Answer("q-a", "solved"))
    landscape = {"q-a": {"landscape": {"solved": 2, "starts": 5}}}
    (claim,) = claims([counted], Sources({}, landscape, {}, [], {}, {}))
    assert (claim.effect, claim.n) == ("2 of 5", None)
    assert claim.drawn is not None


def test_claims_are_counted_by_what_becomes_of_them() -> None:
    names = ["reproduced", "direction only", "no difference detected", "not reproduced", "diverged (seed 1, epoch 1)"]
    found = claims([finding("-", word) for word in names], NOTHING)
    assert tally(found) == Tally(holds=2, same=1, against=1, open=1)
    assert tally(found).tested == 4
    assert words(found)[-1] == ("diverged", 1)


def test_the_matrix_holds_headlines_and_no_paper_without_one() -> None:
    told = {"p": [finding("-", "reproduced"), finding("-", "reproduced", headline=False)], "q": []}
    assert {key: len(row) for key, row in by_paper(told, NOTHING).items()} == {"p": 1}


def test_only_methods_under_study_on_common_terms_stand_beside_the_sum(made_up) -> None:
    problem = "multi_fashion_mnist"
    groups, metrics = {}, {}
    for method in ("pcgrad", "cagrad-c0_5", "sam_gs", "static-30"):
        record = made_up(problem, method, 0, 0.0)
        (run,) = parse([json.dumps(record)], "made up")
        groups[run.experiment] = [run]
        metrics[run.experiment] = {"problem": problem, "method": method, "track": "controlled"}
    metrics[f"{problem}-sam_gs"]["excluded"] = ["its clip differs"]
    ends = {"pcgrad": (0.02, 0.01, 0.03), "cagrad-c0_5": (-0.02, -0.03, -0.01), "sam_gs": (0.02, 0.01, 0.03)}
    found = [contrast(at, problem=problem, method=method) for method, at in ends.items()]
    found.append(contrast(problem=problem, method="static-30"))
    sources = Sources(groups, metrics, {}, [], {}, {}, contrasts=Contrasts(found))
    assert beside_sum(sources) == Beside(better=1, worse=1, problems=1)
    assert at_equal_passes(sources) == Beside()
