"""Every flattering change is caught: a dropped seed, a best test epoch, a clip for one method, another budget."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from gradsurgery.evidence.contract import check_line, violations
from gradsurgery.evidence.history import Run, parse

SETTINGS = {"epochs": 4, "lr": 1e-3, "batch_size": 128, "network": {"name": "lenet"}}
Records = dict[str, list[dict[str, Any]]]


@pytest.fixture
def records(made_up: Callable[..., dict]) -> Records:
    """Four honest controlled lines, three seeds each."""
    found = {
        f"p-{m}": [made_up("p", m, seed, shift) for seed in range(3)]
        for m, shift in {"sum": 0.0, "pcgrad": 0.002, "cagrad-c0_5": 0.003, "static-30": -0.01}.items()
    }
    for group in found.values():
        for record in group:
            record["declaration"] |= {"settings": copy.deepcopy(SETTINGS)}
    return found


def found(records: Records, rule: str = "best-val") -> dict[str, list[str]]:
    runs: dict[str, list[Run]] = {
        name: parse([json.dumps(record) for record in group], name) for name, group in records.items()
    }
    return violations(runs, rule, "p-sum")


def test_honest_lines_pass(records: Records) -> None:
    assert found(records) == {}
    assert found(records, "last") == {}


def test_dropping_the_worst_seed_is_caught(records: Records) -> None:
    worst = min(records["p-pcgrad"], key=lambda r: r["epochs"][-1]["test.left.accuracy"])
    records["p-pcgrad"].remove(worst)
    assert found(records) == {"p-pcgrad": [f"lacks seed {worst['seed']}, which others of the problem have"]}


def test_dropping_a_seed_of_the_baseline_is_caught(records: Records) -> None:
    del records["p-sum"][1]
    assert found(records) == {"p-sum": ["lacks seed 1, which others of the problem have"]}


def test_seeds_that_one_line_has_beyond_the_others_shut_nobody_out(
    records: Records, made_up: Callable[..., dict]
) -> None:
    more = made_up("p", "pcgrad", 3, 0.002)
    more["declaration"] |= {"settings": copy.deepcopy(SETTINGS)}
    records["p-pcgrad"].append(more)
    assert found(records) == {}


@pytest.mark.parametrize("rule", ["best-test", "last10"])
def test_choosing_the_epoch_on_the_test_set_is_caught(records: Records, rule: str) -> None:
    assert set(found(records, rule)) == set(records)
    assert found(records, rule)["p-pcgrad"] == [f"is judged by {rule}, which looks at the test set"]


def test_ending_the_history_at_the_best_test_epoch_is_caught(records: Records) -> None:
    del records["p-pcgrad"][0]["epochs"][-1]
    assert found(records) == {"p-pcgrad": ["does not hold every epoch from 1 to 4"]}


def test_putting_the_best_epoch_last_is_caught(records: Records) -> None:
    rows = records["p-pcgrad"][0]["epochs"]
    rows[2], rows[3] = rows[3], rows[2]
    assert found(records) == {"p-pcgrad": ["does not hold every epoch from 1 to 4"]}


def test_clipping_one_method_is_caught(records: Records) -> None:
    for record in records["p-pcgrad"]:
        record["declaration"]["settings"]["clip"] = 1.0
    assert found(records) == {"p-pcgrad": ["sets clip to 1.0 where the problem has None"]}


def test_what_a_method_does_to_its_own_direction_is_the_method(records: Records) -> None:
    for record in records["p-pcgrad"]:
        record["declaration"]["aggregator"] = {"name": "sam_gs", "gamma": 0.9}
    assert found(records) == {}


def test_the_baseline_and_no_other_line_sets_the_standard(records: Records) -> None:
    for record in records["p-cagrad-c0_5"]:
        record["declaration"]["settings"]["clip"] = 1.0
    turned = {name: records[name] for name in sorted(records)}
    assert next(iter(turned)) == "p-cagrad-c0_5"
    assert found(turned) == {"p-cagrad-c0_5": ["sets clip to 1.0 where the problem has None"]}


def test_a_clip_for_all_is_no_advantage(records: Records) -> None:
    for group in records.values():
        for record in group:
            record["declaration"]["settings"]["clip"] = 1.0
    records["p-pcgrad"] = [
        r | {"declaration": r["declaration"] | {"aggregator": {"name": "sam_gs"}}} for r in records["p-pcgrad"]
    ]
    assert found(records) == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lr": 2e-3}, "sets lr to 0.002 where the problem has 0.001"),
        ({"weight_decay": 0.1}, "sets weight_decay to 0.1 where the problem has None"),
        ({"network": {"name": "resnet", "width": 8}}, None),
    ],
)
def test_settings_are_the_problems(records: Records, change: dict[str, Any], reason: str | None) -> None:
    for record in records["p-pcgrad"]:
        record["declaration"]["settings"] |= change
    assert found(records) == ({"p-pcgrad": [reason]} if reason else {})


def test_one_seed_with_settings_of_its_own_is_caught(records: Records) -> None:
    records["p-pcgrad"][2]["declaration"]["settings"]["batch_size"] = 64
    with pytest.raises(ValueError, match=r"p-pcgrad:3: `declaration` must be .* the seeds of one history"):
        found(records)


def test_more_epochs_are_caught(records: Records, made_up: Callable[..., dict]) -> None:
    for record in records["p-pcgrad"]:
        record["declaration"]["settings"]["epochs"] = 8
        record["epochs"] = made_up("p", "pcgrad", record["seed"], 0.0, 8)["epochs"]
    assert found(records) == {"p-pcgrad": ["sets epochs to 8 where the problem has 4"]}


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("scale", "paper", "has another scale (paper, not smoke)"), ("data_sha256", "1" * 64, "has another data")],
)
def test_data_and_scale_are_the_problems(records: Records, field: str, value: str, reason: str) -> None:
    for record in records["p-pcgrad"]:
        record[field] = value
    assert found(records) == {"p-pcgrad": [reason]}


def test_watching_is_free_and_precision_is_not(records: Records) -> None:
    for record in records["p-pcgrad"]:
        record["declaration"]["learner"] = {"diagnose_every": 5, "score_layers": [0.0]}
    assert found(records) == {}
    for record in records["p-pcgrad"]:  # how a method comes by its weights is the method's
        record["declaration"]["learner"] = {"gradients": "two_pass", "keep_weights": 8}
    assert found(records) == {}
    for record in records["p-pcgrad"]:
        record["declaration"]["learner"] = {"precision": "bfloat16"}
    assert found(records) == {"p-pcgrad": ["sets precision to bfloat16 where the problem has None"]}


@pytest.mark.parametrize("track", ["reference", "as-published"])
def test_other_tracks_are_not_held_to_it(records: Records, track: str) -> None:
    for record in records["p-pcgrad"]:
        record["declaration"]["settings"]["clip"] = 1.0
        record["track"] = track
    assert found(records) == {}


def test_a_line_is_refused_before_it_runs() -> None:
    declaration = {"settings": SETTINGS | {"clip": 1.0}, "aggregator": {"name": "pcgrad"}}
    problem = {name: value for name, value in SETTINGS.items() if name != "network"}
    with pytest.raises(
        ValueError, match=r"`track` must not be 'controlled' for a line that sets clip to 1.0 where the"
    ):
        check_line(declaration, problem)
    check_line({"settings": SETTINGS, "aggregator": {"name": "sam_gs"}}, problem)
