"""Practically equal: the regions, and what the posterior says where the answer is known."""

import numpy as np
import pytest

from gradsurgery.evidence.equivalence import posteriors, region, words


@pytest.mark.parametrize(
    ("metric", "level", "expected"),
    [("left.accuracy", 0.9, 0.005), ("auc", 0.9, 0.005), ("s.ssim", 0.4, 0.005), ("l1.mae", 0.4, 0.004),
     ("x.unknown", -2.0, 0.02)],
)  # fmt: skip
def test_the_region_of_every_kind(metric: str, level: float, expected: float) -> None:
    assert region(metric, level) == pytest.approx(expected)


def blocks(n: int = 20) -> dict[str, list[float]]:
    rng = np.random.default_rng(0)
    base = 50 * rng.normal(size=n)
    found = {
        "sum": base, "up": base + 3 + 0.2 * rng.normal(size=n), "down": base - 3 + 0.2 * rng.normal(size=n),
        "same": base + 0.2 * rng.normal(size=n), "wild": base + 3 * rng.choice([-1, 1], size=n),
    }  # fmt: skip
    return {method: own.tolist() for method, own in found.items()}


def test_each_word_where_it_belongs() -> None:
    found = posteriors(blocks(), "sum")
    assert {m: p.word for m, p in found.items()} == {
        "up": "better than the sum", "down": "worse than the sum", "same": "practically equal", "wild": "undecided",
    }  # fmt: skip
    assert words(found)["undecided"] == ["wild"]
    for posterior in found.values():
        assert posterior.worse + posterior.equal + posterior.better == pytest.approx(1.0, abs=2e-3)
        assert posterior.n == 20


def test_draws_repeat() -> None:
    assert posteriors(blocks(), "sum") == posteriors(blocks(), "sum")


def test_two_blocks_say_nothing() -> None:
    with pytest.raises(ValueError, match="at least three blocks, found 2"):
        posteriors(blocks(2), "sum")
