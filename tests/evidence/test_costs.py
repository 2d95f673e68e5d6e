"""Costs are those of their history's seeds, in numbers."""

import json

import pytest

from gradsurgery.evidence.costs import FIELDS, MACHINE, parse

COST = dict.fromkeys(FIELDS, 1.5)
ENVIRONMENT = {name: kind(2) for name, kind in MACHINE.items()}
WHOLE = {
    "experiment": "p-sum",
    "environment": ENVIRONMENT,
    "seeds": {"0": COST, "1": COST},
}


def test_whole_costs_are_read():
    assert parse(json.dumps(WHOLE), "p-sum", [0, 1]) == WHOLE


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [None, -1, True, "x", float("nan"), float("inf"), []])
def test_every_cost_is_a_number(name, value):
    seeds = {"0": COST, "1": {**COST, name: value}}
    with pytest.raises(ValueError, match=rf"^`seeds.1.{name}` must be a number from 0 on|^numbers must be finite"):
        parse(json.dumps({**WHOLE, "seeds": seeds}), "p-sum")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "costs must be JSON"), ("[]", "`seeds` must be a block"), (json.dumps({**WHOLE, "seeds": {}}), "`seeds`"),
        (json.dumps({**WHOLE, "experiment": "p-mean"}), "`experiment` must be 'p-sum', found 'p-mean'"),
        (json.dumps({**WHOLE, "environment": 3}), "`environment` must be a block"),
        (json.dumps({**WHOLE, "environment": {**ENVIRONMENT, "cores": 0}}),"`environment.cores` must be from"),
        (json.dumps({**WHOLE, "environment": {**ENVIRONMENT, "cores": "x"}}), "`environment.cores` must be a"),
        (json.dumps({**WHOLE, "environment": {"cores": 2}}), "`environment.device` must be given"),
        (json.dumps({**WHOLE, "seeds": {"0": COST}}), "`seeds` must be those of its history, found seed 1 in one only"),
        (json.dumps({**WHOLE, "seeds": {"0": 3, "1": COST}}), "`seeds.0` must be a block of named values, found 3"),
    ],
)  # fmt: skip
def test_other_costs_are_refused(text, said):
    with pytest.raises(ValueError, match=said):
        parse(text, "p-sum", [0, 1])
