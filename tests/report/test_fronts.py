"""Methods beside a front of static weights: the sentence, the table and the picture follow the distances."""

import numpy as np

from gradsurgery.report import fronts
from tests.evidence.test_fronts import LINE, distances, of, shown


def test_a_sentence_says_beyond_only_when_it_stands() -> None:
    points = LINE + 0.001 * np.random.default_rng(0).standard_normal((5, 4, 2))
    noise = 0.001 * np.random.default_rng(1).standard_normal((5, 2))
    middle, low = np.array([0.75, 0.75]) + noise, LINE[1] - 0.05 + noise
    loose = middle + 0.01 * np.array([[1.0], [-1.0], [0.5], [-0.5], [0.1]])
    found = of(points, pcgrad=middle + 0.03, sum=loose, mgda=low)
    text = fronts.sentence(shown(found), list(distances(found).values()))
    assert text.startswith("Better: PCGrad (+3.")
    assert "; worse: MGDA (-" in text
    assert "; inconclusive: sum (" in text
    assert text.endswith("(4 weights, n = 5 seeds, exploratory; better is beyond the front).")
    noisy = fronts.sentence(shown(found), list(distances(found, 0.2).values()))
    assert noisy.startswith("Inconclusive: PCGrad, sum, MGDA")
