"""Costs are those of their history's seeds, in numbers."""

import json

import pytest

from gradsurgery.evidence.costs import FIELDS, MACHINE, is_as_written, parse

COST = dict.fromkeys(FIELDS, 1.5)
ENVIRONMENT = {name: kind(2) for name, kind in MACHINE.items()}
WHOLE = {
    "experiment": "p-sum",
    "environment": ENVIRONMENT,
    "seeds": {"0": COST, "1": COST},
}


def test_whole_costs_are_read():
    assert parse(json.dumps(WHOLE), "p-sum", [0, 1]) == WHOLE


@pytest.mark.parametrize("value", [None, -1, True, "x", float("nan"), []])
def test_every_cost_is_a_number(value):
    seeds = {"0": COST, "1": {**COST, "steps": value}}
    with pytest.raises(ValueError, match=r"^`seeds.1.steps` must be a (finite )?number|^numbers must be finite"):
        parse(json.dumps({**WHOLE, "seeds": seeds}), "p-sum")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "costs must be JSON"), ("[]", "`costs` must be"),
        (json.dumps({**WHOLE, "seeds": {}}), "`seeds` must hold"),
        (json.dumps({**WHOLE, "experiment": "p-mean"}), "`experiment` must be 'p-sum', found 'p-mean'"),
        (json.dumps({**WHOLE, "environment": 3}), "`environment` must be a block"),
        (json.dumps({**WHOLE, "environment": {**ENVIRONMENT, "cores": "x"}}), "`environment.cores` must be a whole"),
        (json.dumps({**WHOLE, "environment": {"cores": 2}}), "`environment.python` must be a text, found None"),
        (json.dumps({**WHOLE, "seeds": {"0": COST}}), "`seeds` must be those of its history, found seed 1 in one only"),
        (json.dumps({**WHOLE, "seeds": {"0": 3, "1": COST}}), "`seeds` must be a block of named values"),
    ],
)  # fmt: skip
def test_other_costs_are_refused(text, said):
    with pytest.raises(ValueError, match=said):
        parse(text, "p-sum", [0, 1])


@pytest.mark.parametrize(
    ("seed", "written", "right"),
    [
        (0, ("n", "s"), True),
        (0, ("m", "s"), False),
        (0, ("n", "t"), False),
        (1, ("n", "t"), True),
        (2, ("n", "s"), False),
    ],
)
def test_without_its_fingerprint_a_line_is_held_to_the_hash_of_its_numbers_alone(seed, written, right):
    seeds = {"0": {"numbers": "n", "fingerprint": "f"}, "1": {"numbers": "n"}, "2": {}}
    assert is_as_written({"seeds": seeds, "fingerprints": {"f": {"settings": "s"}}}, seed, tuple(written)) is right
