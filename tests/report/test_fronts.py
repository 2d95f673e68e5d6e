"""Methods beside a front of static weights: the sentence, the table and the picture follow the distances."""

import numpy as np

from gradsurgery.evidence.contrasts import Contrast
from gradsurgery.evidence.fronts import Front, _areas, _band, _distances, _Seeds
from gradsurgery.evidence.statistics import summarise
from gradsurgery.report import fronts

METRICS = {"left.accuracy": True, "right.accuracy": True}
LINE = np.array([[0.9, 0.5], [0.8, 0.7], [0.7, 0.8], [0.5, 0.9]])  # concave, as fronts are


def of(points: np.ndarray, **others: np.ndarray) -> _Seeds:
    return _Seeds(tuple(range(len(points))), points, others)


def distances(found: _Seeds, noise: float | None = None) -> dict[str, Contrast]:
    gaps = {m: _distances(found, own) for m, own in found.others.items()}
    terms = ("all.accuracy", True)
    return {
        m: Contrast("front", "p", m, "static weights", *terms, summarise(own, noise or 0.0), "equal epochs", noise)
        for m, own in gaps.items() if own
    }  # fmt: skip


def shown(found: _Seeds) -> Front:
    grid, band = _band(found)
    names = [f"static-{i}" for i in range(found.points.shape[1])]
    others = {m: own.mean(axis=0).tolist() for m, own in found.others.items()}
    middle = found.points.mean(axis=0).tolist()
    return Front(METRICS, len(found.seeds), names, middle, grid.tolist(), band.tolist(), others, _areas(found))


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
