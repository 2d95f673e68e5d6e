"""The comparison that answers 'did it reproduce?'."""

import math

from pipelines._regression import compare, means

RULES = {
    "bands": {"accuracy": 0.02, "loss": 0.1},
    "exceptions": {"toy": {"loss": {"band": 5.0, "reason": "chaotic"}}},
}


def _entry(problem="multi_mnist", **means):
    return {"problem": problem, "n": 3} | {name.replace("_", "."): {"mean": value} for name, value in means.items()}


def test_inside_and_outside():
    committed = {"a": _entry(left_accuracy=0.9, right_accuracy=0.8)}
    fresh = {"a": _entry(left_accuracy=0.915, right_accuracy=0.83)}
    compared, moved = compare(fresh, committed, RULES)
    assert compared == 2
    assert [str(one) for one in moved] == ["a right.accuracy 0.8 -> 0.83 (band 0.02)"]


def test_a_wider_band_belongs_to_its_problem_only():
    committed = {"a": _entry("toy", all_loss=-100.0), "b": _entry(all_loss=-100.0)}
    fresh = {"a": _entry("toy", all_loss=-104.0), "b": _entry(all_loss=-104.0)}
    _, moved = compare(fresh, committed, RULES)
    assert [one.experiment for one in moved] == ["b"]


def test_an_experiments_own_band_goes_before_its_problems():
    own = {"a": {"loss": {"band": 1.0, "reason": "exact"}}}
    rules = {"bands": RULES["bands"], "exceptions": RULES["exceptions"] | own}
    committed = {name: _entry("toy", all_loss=-100.0) for name in ("a", "b")}
    fresh = {name: _entry("toy", all_loss=-102.0) for name in ("a", "b")}
    assert [one.experiment for one in compare(fresh, committed, rules)[1]] == ["a"]


def test_a_number_that_one_side_lacks_or_that_is_not_finite_is_outside():
    committed = {"a": _entry(left_accuracy=0.9), "gone": _entry(left_accuracy=0.9)}
    fresh = {"a": _entry(left_accuracy=math.nan), "new": _entry(left_accuracy=0.7)}
    compared, moved = compare(fresh, committed, RULES)
    assert compared == len(moved) == 3
    assert [str(one) for one in moved] == [
        "a left.accuracy 0.9 is committed, and none that is finite was found now",
        "gone left.accuracy 0.9 is committed, and none that is finite was found now",
        "new left.accuracy 0.7 is new: nothing committed to hold it against",
    ]


def test_what_has_no_band_is_not_compared():
    assert compare({"a": _entry(left_time=1.0)}, {"a": _entry(left_time=9.0)}, RULES) == (0, [])


def test_the_small_record_compares_as_the_whole_does():
    whole = {"a": _entry(left_accuracy=0.9) | {"delta_m_metric": {"mean": 1.0}, "rules": {}}}
    assert compare(whole, means(whole), RULES) == (1, [])
    assert compare({"a": _entry(left_accuracy=0.8)}, means(whole), RULES)[1] != []
