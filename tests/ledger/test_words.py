"""The words of verdicts: one behind every reason, and counted in the order of a page."""

import pytest

from gradsurgery.evidence.words import INCONCLUSIVE, OPPOSITE, REPRODUCED
from gradsurgery.ledger.words import DECIDED, WORDS, counted, first_word


@pytest.mark.parametrize("word", WORDS)
def test_a_reason_in_brackets_hides_no_word(word: str) -> None:
    assert first_word(word) == first_word(f"{word} (no history of p-sum)") == word


def test_what_is_no_word_stays_what_it_is() -> None:
    assert first_word("perhaps") == "perhaps"


def test_no_word_begins_another_or_counting_would_mix_them() -> None:
    assert not [(a, b) for a in WORDS for b in WORDS if a != b and b.startswith(a)]


def test_words_are_counted_in_the_order_of_the_page_and_none_that_nobody_said() -> None:
    said = ["not run (a)", OPPOSITE, "not run (b)", REPRODUCED, "diverged (seed 1, epoch 2)", "not exercised"]
    assert counted(said) == [(REPRODUCED, 1), (OPPOSITE, 1), ("not exercised", 1), ("diverged", 1), ("not run", 2)]
    assert counted([]) == []


def test_only_a_verdict_with_a_number_is_decided() -> None:
    assert {REPRODUCED, OPPOSITE, INCONCLUSIVE} < set(DECIDED)
    assert not {"not exercised", "diverged", "not run"} & set(DECIDED)
