"""Studies: what they may claim, and what is refused. Every study here is made up."""

import json
from pathlib import Path

import pytest

from gradsurgery.evidence.study import best, check, parse, searched
from pipelines._evidence import read_studies, sha256_of, study_costs
from tests.studies import FRESH, METHODS, Record, changed, read, record, study


def test_a_fair_study_passes_and_its_winner_is_the_best_on_validation() -> None:
    trials = read(study())
    check(trials, "best-val")
    assert {m: best(own, "best-val").number for m, own in searched(trials).items()} == dict.fromkeys(METHODS, 2)


def test_unequal_trials_are_refused() -> None:
    fewer = [r for r in study() if (r["kind"], r["method"], r["trial"]) != ("search", "sum", 3)]
    with pytest.raises(ValueError, match="`trials` must be as many for every method, found 3 of sum and 4 of static"):
        check(read(fewer), "best-val")


def test_a_gap_in_the_trials_is_refused() -> None:
    moved = [r | {"trial": 7} if (r["kind"], r["method"], r["trial"]) == ("search", "sum", 3) else r for r in study()]
    with pytest.raises(ValueError, match="must count from 0 without gaps"):
        check(read(moved), "best-val")


def test_a_winner_picked_on_test_is_refused() -> None:
    flattered = [r for r in study() if not (r["kind"] == "winner" and r["method"] == "pcgrad")]
    lucky = record("search", "pcgrad", 1, 0, 0.7, test=0.9)
    flattered = changed(flattered, "search", "pcgrad", 1, epochs=lucky["epochs"])
    picked = [record("winner", "pcgrad", 1, seed, 0.7, test=0.9) for seed in FRESH]
    with pytest.raises(ValueError, match=r"must be the trial that is best on validation \(2\), found 1"):
        check(read([*flattered, *picked]), "best-val")


@pytest.mark.parametrize("rule", ["best-test", "last10"])
def test_a_rule_that_looks_at_the_test_set_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=f"must be one of best-val, last, found '{rule}'"):
        check(read(study()), rule)


def test_a_dropped_seed_is_refused() -> None:
    dropped = [r for r in study() if (r["kind"], r["method"], r["seed"]) != ("winner", "sum", 3)]
    with pytest.raises(ValueError, match=r"`winner` of sum must be judged on seeds \[1, 2, 3\], found \[1, 2\]"):
        check(read(dropped), "best-val")


def test_the_seed_of_the_search_is_not_fresh() -> None:
    stale = [*study(), record("winner", "sum", 2, 0, 0.7)]
    with pytest.raises(ValueError, match="must be judged on fresh seeds, found the search's seed 0"):
        check(read(stale), "best-val")


def test_other_terms_for_one_method_are_refused() -> None:
    longer = study()
    for r in longer:
        if r["method"] == "pcgrad":
            r["declaration"]["settings"]["epochs"] = 2
    with pytest.raises(ValueError, match="`epochs` of trial 0 must be the same for pcgrad and sum, found 2 and 1"):
        check(read(longer), "best-val")
    with pytest.raises(ValueError, match="`data_sha256` must be the same for static and sum"):
        check(read(changed(study(), "search", "sum", 1, data_sha256="1" * 64)), "best-val")


def _publish(path: Path, records: list[Record]) -> None:
    text = "".join(json.dumps(r) + "\n" for r in records)
    path.write_text(text)
    study_costs(path).parent.mkdir(exist_ok=True)
    study_costs(path).write_text(json.dumps({"seconds": {}, "sha256": sha256_of(text)}))


def test_an_unfair_study_is_named_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "census.jsonl"
    _publish(path, study())
    assert len(read_studies(tmp_path, {})["census"]) == len(study())
    _publish(path, [r for r in study() if (r["kind"], r["method"], r["trial"]) != ("search", "sum", 2)])
    with pytest.raises(ValueError, match=r"census\.jsonl: `trials` must be as many.*: restore it"):
        read_studies(tmp_path, {"census": "best-val"})


def test_a_study_that_is_not_as_it_was_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "census.jsonl"
    _publish(path, study())
    path.write_text(path.read_text().replace('"test_rows": 4000', '"test_rows": 4001', 1))
    with pytest.raises(ValueError, match=r"census\.jsonl: a study must be as it was written, .*: restore"):
        read_studies(tmp_path, {})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "made up:1: a line must be one JSON object"),
        ("{}", "made up:1: a trial must be of a `kind` of search, winner, found '{}'"),
        (json.dumps(study()[0] | {"trial": "0"}), "made up:1: `trial` must be a whole number, found '0'"),
        (json.dumps(study()[0] | {"failed": None}), "made up:1: `failed` must be true or false, found None"),
    ],
)
def test_a_malformed_line_is_named(line: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse([line], "made up")
