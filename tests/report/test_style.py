"""One name per method, wherever it appears."""

import pytest

from gradsurgery.report.style import label


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("recon-cagrad-c0_5", "Recon, CAGrad, c = 0.5"),
        ("floor-logistic", "logistic regression"),
        ("static-30", "static, 30 %"),
        ("sum-equal_passes", "sum, equal passes"),
    ],
)
def test_a_method_reads_as_words(method: str, words: str) -> None:
    assert label(method) == words
