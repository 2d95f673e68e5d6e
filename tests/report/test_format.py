"""Numbers that are no interval as text: gains turned round, contrasts under their words, labels within lists."""

import pytest

from gradsurgery.evidence.statistics import Summary
from gradsurgery.report.format import bracketed, by_word, first_sentence, gain, level, listed
from tests.histories import difference


def test_a_gain_is_more_where_less_of_the_metric_is_better() -> None:
    assert gain(difference("a", 0.01, 0.03)) == "+2.00 [+1.00, +3.00]", "in points"
    assert gain(difference("a", 0.01, 0.03, metric="all.mae", higher=False)) == "-0.0200 [-0.0300, -0.0100]"


def test_a_level_that_was_turned_for_ordering_is_turned_back() -> None:
    error = Summary(3, -0.2, 0.01, -0.3, -0.1)
    assert level(error) == Summary(3, 0.2, 0.01, 0.1, 0.3)
    assert level(error.turned()) == error.turned()


def test_contrasts_stand_under_their_words_and_only_what_separates_has_its_number() -> None:
    found = [
        difference("mgda", -0.03, 0.01), difference("sam_gs", -0.03, -0.01), difference("pcgrad", 0.01, 0.03),
        difference("dwa", -0.01, 0.03), difference("mean", -0.001, 0.001, margin=0.01),
    ]  # fmt: skip
    assert by_word(found) == (
        "better: PCGrad (+2.00 [+1.00, +3.00]); worse: SAM-GS (-2.00 [-3.00, -1.00]); practically equal: mean; "
        "inconclusive: MGDA, DWA"
    )
    assert by_word(found[:1], lambda c: c.minus.upper()) == "inconclusive: SUM"
    assert by_word([]) == ""


@pytest.mark.parametrize(("method", "text"), [("pcgrad", "PCGrad"), ("cagrad-c0_5", "(CAGrad, c = 0.5)")])
def test_a_label_with_a_comma_stands_in_brackets_within_a_list(method: str, text: str) -> None:
    assert bracketed(method) == text


def test_lists_and_first_sentences() -> None:
    assert listed(["sum", "sam_gs"]) == "sum, SAM-GS"
    assert first_sentence("At 0.5 it holds. At 0.7 it does not.") == "At 0.5 it holds."
    assert first_sentence("One alone.") == first_sentence("One alone") == "One alone."
