"""Equal budgets: the same number of trials, the same shared draws, and nobody's draws moved by a new method."""

import math

import numpy as np
import pytest

from gradsurgery import budget
from gradsurgery.budget import OWN, Choice, Range, Simplex, check_equal, trials
from gradsurgery.core.declaration import validate
from gradsurgery.core.discovery import build, find


@pytest.fixture
def line(declare):
    return lambda *slots: declare(*slots, settings={"lr": 1e-3, "weight_decay": 0.0})


def test_the_default_is_the_first_trial(line):
    declaration = line("cagrad")
    assert trials(declaration, 1, 2) == [declaration]
    assert trials(declaration, 3, 2)[0] == declaration
    assert "c" not in declaration["aggregator"]  # the given one is left alone


def test_every_trial_is_a_valid_declaration(line):
    for slots in (
        ["cagrad"],
        ["sam_gs"],
        ["gcond"],
        ["sum", {"name": "static", "weights": [0.5, 0.5]}],
        ["sum", "dwa"],
    ):
        for trial in trials(line(*slots), 5, 2):
            validate(trial)


def test_trials_repeat_and_differ(line):
    first, again = (trials(line("cagrad"), 6, 2) for _ in range(2))
    assert first == again
    assert len({trial["aggregator"].get("c") for trial in first}) == 6
    assert trials(line("cagrad"), 4, 2) == first[:4]  # a larger budget only adds


def test_shared_parameters_are_drawn_alike_for_all_methods(line):
    settings = [[t["settings"] for t in trials(line(name), 6, 2)] for name in ("sum", "cagrad", "sam_gs")]
    assert settings[0] == settings[1] == settings[2]


def test_a_new_method_or_parameter_moves_nobody(line, monkeypatch):
    before = trials(line("cagrad"), 5, 2)
    more = {name: dict(fillers) for name, fillers in OWN.items()}
    more["aggregator"] = {"another": {"a": Range(0.0, 1.0)}, **more["aggregator"], "pcgrad": {"b": Range(0.0, 1.0)}}
    more["aggregator"]["cagrad"] = {"first": Range(0.0, 1.0), **OWN["aggregator"]["cagrad"]}
    monkeypatch.setattr(budget, "OWN", more)
    for old, new in zip(before[1:], trials(line("cagrad"), 5, 2)[1:], strict=True):
        assert {k: v for k, v in new["aggregator"].items() if k != "first"} == old["aggregator"]
        assert new["settings"] == old["settings"]


def test_ranges_are_kept_and_filled(line):
    many = trials(line("cagrad"), 400, 2)[1:]
    c = np.array([t["aggregator"]["c"] for t in many])
    assert (c > 0.05).all()
    assert (c < 1.0).all()
    assert np.histogram(c, 4, (0.05, 1.0))[0].min() > 60
    rate = np.log10([t["settings"]["lr"] / 1e-3 for t in many])
    assert abs(rate).max() < 1.0
    assert abs(rate.mean()) < 0.1  # uniform in the logarithm
    weights = np.array(
        [t["balancer"]["weights"] for t in trials(line("sum", {"name": "static", "weights": [1.0] * 3}), 50, 3)[1:]]
    )
    assert weights.shape == (49, 3)
    assert weights.sum(axis=1) == pytest.approx(np.ones(49))
    assert weights.std() == pytest.approx((1 / 18) ** 0.5, rel=0.15)  # uniform on the simplex, not near its middle
    decay = np.log10([t["settings"]["weight_decay"] for t in many])
    assert decay.min() > -6
    assert decay.max() < -2
    assert abs(decay.mean() + 4) < 0.2  # uniform in the logarithm


def test_what_a_balancer_owns_is_moved_too(line):
    drawn = [t["balancer"] for t in trials(line("sum", {"name": "random_weights", "distribution": "softmax"}), 20, 2)]
    assert {t["distribution"] for t in drawn} == {"softmax", "dirichlet"}
    assert len({t.get("temperature") for t in (each["balancer"] for each in trials(line("sum", "dwa"), 5, 2))}) == 5


def test_problems_draw_apart(line):
    other = line("cagrad") | {"problem": "multi_fashion"}
    assert trials(other, 2, 2)[1]["aggregator"] != trials(line("cagrad"), 2, 2)[1]["aggregator"]


def test_the_registry_names_fields_that_exist_and_values_they_take():
    for slot, fillers in OWN.items():
        for name, parameters in fillers.items():
            fields = {f.name for f in find(f"{slot}s", name).__dataclass_fields__.values()}
            assert set(parameters) <= fields
            for field, search in parameters.items():
                if isinstance(search, Simplex):
                    continue
                ends = search.values if isinstance(search, Choice) else (search.low, search.high)
                given = {"k": 3} if name == "recon" and field != "k" else {}
                for value in ends:
                    build(f"{slot}s", name, **{field: value}, **given)


def test_an_unequal_budget_is_refused(line):
    equal = {name: trials(line(name), 4, 2) for name in ("sum", "pcgrad", "cagrad")}
    check_equal(equal)
    with pytest.raises(ValueError, match="as many for every method, found 4 of sum and 5 of cagrad"):
        check_equal(equal | {"cagrad": trials(line("cagrad"), 5, 2)})


@pytest.mark.parametrize(("low", "high", "log"), [(1.0, 1.0, False), (0.0, 1.0, True), (0.0, math.inf, False)])
def test_impossible_ranges_are_refused(low, high, log):
    with pytest.raises(ValueError, match=r"`(low|high)` must be"):
        Range(low, high, log)


def test_no_trial_is_refused(line):
    with pytest.raises(ValueError, match="`count` must be at least 1, found count = 0"):
        trials(line("sum"), 0, 2)
