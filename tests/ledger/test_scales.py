"""Which scale decides a claim, and what is said of the others."""

import dataclasses
from pathlib import Path

import pytest

from gradsurgery.evidence.history import parse
from gradsurgery.ledger.protocol import Design, Protocol
from gradsurgery.ledger.scales import highest, told

SHA = "a" * 64
LINES = ("toy-sum", "toy-pcgrad")
PROTOCOL = Protocol(0.05, 0.8, {}, 1000, {"pcgrad": (Design("pcgrad/gain", "overnight", 3, lines=LINES),)}, SHA)


def _entry(word, ours, **more):
    return {"pcgrad/gain": {"verdict": word, "ours": ours, **more}}


COSTS = {
    "laptop": {"toy-pcgrad": {"seeds": {"0": {"steps": 100}, "1": {"steps": 102}}}},
    "overnight": {"toy-pcgrad": {"seeds": {"1000": {"steps": 400}}}},
}


HISTORY = Path(__file__).parents[2] / "reports/history/laptop/pcgrad/multi_mnist-pcgrad.jsonl"
RUN = parse(HISTORY.read_text().splitlines(), HISTORY.stem)[0]


def _runs(seeds, protocol=SHA):
    return [dataclasses.replace(RUN, seed=seed, protocol=protocol) for seed in seeds]


def _found(seeds, protocol=SHA, by_scale=None, registered=PROTOCOL):
    groups = {"laptop": {}, "overnight": {LINES[0]: _runs(range(1000, 1003)), LINES[1]: _runs(seeds, protocol)}}
    by_scale = by_scale or {"laptop": _entry("inconclusive", "+0.1"), "overnight": _entry("reproduced", "+0.3")}
    return highest(by_scale, groups, registered, COSTS)["pcgrad/gain"]


def test_a_registered_claim_is_decided_once_all_its_seeds_are_there():
    entry = _found([1000, 1001, 1002])
    assert (entry["verdict"], entry["scale"]) == ("reproduced", "overnight")
    assert told(entry) == "; at laptop inconclusive, +0.1"


@pytest.mark.parametrize(("seeds", "protocol", "there"), [([1000, 1001], SHA, 2), ([1000, 1001, 1002], None, 0)])
def test_until_then_the_lower_scale_stands_and_the_higher_gets_no_word(seeds, protocol, there):
    entry = _found(seeds, protocol)
    assert (entry["verdict"], entry["scale"]) == ("inconclusive", "laptop")
    assert told(entry) == f"; at overnight after {there} of 3 registered seeds, +0.3"


def test_where_no_other_scale_was_run_the_word_says_how_many_seeds_there_are():
    by_scale = {"laptop": _entry("not run (no data)", ""), "overnight": _entry("reproduced", "+0.3")}
    entry = _found([1000], by_scale=by_scale)
    assert (entry["verdict"], entry["scale"]) == ("reproduced", "overnight")
    assert told(entry) == "; 1 of 3 registered seeds"


def test_an_exploratory_claim_takes_the_highest_scale_at_any_number_of_seeds():
    entry = _found([1000], registered=dataclasses.replace(PROTOCOL, designs={}))
    assert (entry["verdict"], entry["scale"], "registered" in entry) == ("reproduced", "overnight", False)


def test_a_difference_at_several_scales_stands_beside_the_steps_of_each():
    means = {"laptop": 0.1, "overnight": 0.3}
    by_scale = {
        scale: _entry("reproduced", "", experiment="toy-pcgrad", difference={"difference": {"mean": mean}})
        for scale, mean in means.items()
    }
    found = [
        (length["scale"], length["steps"], length["difference"]["mean"])
        for length in _found([1000], by_scale=by_scale)["lengths"]
    ]
    assert found == [("laptop", 101, 0.1), ("overnight", 400, 0.3)]
    del by_scale["laptop"]["pcgrad/gain"]["difference"]
    assert "lengths" not in _found([1000], by_scale=by_scale), "one alone shows no course"
