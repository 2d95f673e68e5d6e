"""The verdicts of claims, in the order of a page: the words of `evidence.words`, and why there may be no number.

Below a paper's own scale a word is as strong as above it: the row says which scale, and `exploratory` where the claim
was not registered for it. Of a count on a landscape, or of a bound, *reproduced* is that it holds, *smaller than
published* that some of it does, *opposite* that none does.
"""

from collections import Counter
from collections.abc import Iterable

from gradsurgery.evidence.words import DIRECTION, EQUAL, INCONCLUSIVE, OPPOSITE, REPRODUCED, SMALLER

NOT_EXERCISED = "not exercised"
WORDS = (
    REPRODUCED, DIRECTION, SMALLER, EQUAL, INCONCLUSIVE, OPPOSITE, NOT_EXERCISED, "diverged", "not run",
)  # fmt: skip
DECIDED = WORDS[:6]  # there is a number


def first_word(verdict: str) -> str:
    """The word of a verdict that may give its reason in brackets."""
    return next((word for word in WORDS if verdict.startswith(word)), verdict)


def counted(verdicts: Iterable[str]) -> list[tuple[str, int]]:
    """How many verdicts have which word."""
    found = Counter(map(first_word, verdicts))
    return [(word, found[word]) for word in WORDS if found[word]]
