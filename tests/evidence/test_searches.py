"""What an equal-budget search found: failed trials count, and the expected best is that of draws with replacement."""

import numpy as np
import pytest

from gradsurgery.evidence import searches
from gradsurgery.evidence.searches import contrasts, search
from gradsurgery.evidence.study import best, level, searched
from tests.studies import FRESH, METHODS, read, record, study


def test_a_failed_trial_counts_and_cannot_win() -> None:
    trials = read([
        *(record("search", "sum", n, 0, 0.9 if n == 0 else 0.5, failed=n == 0) for n in range(3)),
        *(record("search", "static", n, 0, 0.6 - 0.1 * n) for n in range(3)),
        *(record("winner", m, n, s, 0.5) for m, n in (("static", 0),) for s in FRESH),
    ])  # fmt: skip
    assert best(searched(trials)["sum"], "best-val").number in (1, 2)
    found = searches.search(trials, "best-val")
    assert found["sum"].failed == 1
    assert found["sum"].default is None
    reached = [level(t.run, "best-val", "val") for t in trials if t.run is not None and t.kind == "search"]
    own = [level(t.run, "best-val", "val") for t in searched(trials)["sum"] if t.run is not None]
    assert found["sum"].curve[0] == pytest.approx(np.mean([min(reached), *own]))
    nothing = read([record("search", "sum", n, 0, 0.5, failed=True) for n in range(2)])
    assert best(nothing, "best-val") is None


def test_the_expected_best_is_that_of_draws_with_replacement() -> None:
    values = [0.1, 0.5, 0.3, 0.5]
    draws = np.random.default_rng(0).choice(values, (200_000, 3)).max(axis=1)
    assert searches.expected_best(values, 3) == pytest.approx(draws.mean(), abs=1e-3)
    assert searches.expected_best(values, 1) == pytest.approx(np.mean(values))
    assert searches.expected_best(values, 500) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="found n = 0"):
        searches.expected_best(values, 0)


def test_what_the_best_trial_changed_is_told_against_the_default() -> None:
    found = search(read(study()), "best-val")
    assert list(found) == ["sum", "static", "cagrad-c0_5", "pcgrad"], "baselines first"
    assert found["sum"].chosen == 2
    assert dict(found["sum"].changed) == pytest.approx({"lr": 0.003, "weight_decay": 0.0002})
    assert found["sum"].test is not None
    assert (found["sum"].test.n, found["sum"].missing) == (3, 0)
    assert list(found["sum"].expected) == ["1", "4"], "five trials were not drawn"


def test_winners_are_held_against_both_baselines_under_their_own_names() -> None:
    found = contrasts(read(study()), "best-val")
    pairs = {(c.family, c.method, c.minus) for c in found}
    assert pairs == {(f"search, {b}", m, b) for b in ("static", "sum") for m in METHODS if m != b}
    gain = next(c for c in found if (c.method, c.minus) == ("cagrad-c0_5", "sum"))
    assert gain.difference.mean == pytest.approx(0.05, abs=0.01)


def test_a_winner_that_lacks_a_fresh_seed_is_not_compared() -> None:
    lost = [r | {"failed": True} if (r["method"], r["seed"]) == ("pcgrad", 3) else r for r in study()]
    trials = read(lost)
    assert not [c for c in contrasts(trials, "best-val") if "pcgrad" in (c.method, c.minus)]
    assert search(trials, "best-val")["pcgrad"].missing == 1
