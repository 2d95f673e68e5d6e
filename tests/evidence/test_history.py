"""What is malformed is refused with its file and line."""

import json
from collections.abc import Callable

import pytest

from gradsurgery.evidence.history import parse


def test_good_lines_become_runs(made_up: Callable[..., dict]) -> None:
    runs = parse([json.dumps(made_up("p", "pcgrad", s, 0.0)) for s in (0, 1)], "h.jsonl")
    assert [(run.method, run.seed) for run in runs] == [("pcgrad", 0), ("pcgrad", 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 0}, r"h.jsonl:2: `seed` must appear once, found 0 again"),
        ({"experiment": "p-other"}, r"h.jsonl:2: `experiment` must be 'p-pcgrad', found 'p-other'"),
        ({"epochs": []}, r"h.jsonl:2: `epochs` must hold at least one epoch"),
        ({"tasks": "left"}, r"h.jsonl:2: `tasks` must be a list of a text, found 'left'"),
        ({"scale": None}, r"h.jsonl:2: `scale` must be a text, found None"),
        ({"scale": "laptop"}, r"h.jsonl:2: `scale` must be 'smoke', found 'laptop': the seeds of one history"),
        ({"track": "reference"}, r"h.jsonl:2: `track` must be 'controlled', found 'reference'"),
        ({"track": "mine"}, r"h.jsonl:2: `track` must be one of controlled, as-published, reference, found 'mine'"),
        ({"role": {"kind": "stduy"}}, r"h.jsonl:2: `role.kind` must be one of study, .*, found 'stduy'"),
        ({"role": {"kind": "null"}}, r"h.jsonl:2: `role.of` must name a line for kind null, found None"),
        ({"role": {"kind": "baseline"}}, r"h.jsonl:2: `role` must be Role\(kind='study'"),
        ({"declaration": {}}, r"h.jsonl:2: `declaration` must be"),
        ({"problem": "q"}, r"h.jsonl:2: `experiment` must be q-<method>, found 'p-pcgrad'"),
    ],
)
def test_malformed_field_is_named(made_up: Callable[..., dict], change: dict, message: str) -> None:
    first, second = made_up("p", "pcgrad", 0, 0.0), made_up("p", "pcgrad", 1, 0.0) | change
    with pytest.raises(ValueError, match=message):
        parse([json.dumps(first), json.dumps(second)], "h.jsonl")


def test_missing_field_is_named(made_up: Callable[..., dict]) -> None:
    record = made_up("p", "pcgrad", 0, 0.0)
    del record["track"]
    with pytest.raises(ValueError, match=r"h.jsonl:1: `track` must be given, found nothing"):
        parse([json.dumps(record)], "h.jsonl")


def test_cut_off_line_is_named(made_up: Callable[..., dict]) -> None:
    line = json.dumps(made_up("p", "pcgrad", 0, 0.0))
    with pytest.raises(ValueError, match=r"h.jsonl:1: a line must be one JSON object"):
        parse([line[:200]], "h.jsonl")


def test_empty_file_is_refused() -> None:
    with pytest.raises(ValueError, match=r"h.jsonl:1: a history must hold at least one run"):
        parse([], "h.jsonl")


LAYERS = {"names": ["a"], "sizes": [3], "steps": 9, "thresholds": [0.0], "scores": [[[1]]], "whole": [[1]]}


def test_later_fields_may_be_missing_and_are_checked_when_given(made_up: Callable[..., dict]) -> None:
    record = made_up("p", "pcgrad", 0, 0.0)
    old = parse([json.dumps(record)], "h.jsonl")[0]
    assert (old.layers, old.test_rows, old.test_size) == (None, None, None)
    whole = parse([json.dumps(record | {"layers": LAYERS, "test_rows": 10})], "h.jsonl")[0]
    assert (whole.layers, whole.test_size) == (LAYERS, 10)
    parts = parse([json.dumps(record | {"test_rows": {"left": 4, "right": 6}})], "h.jsonl")[0]
    assert parts.test_size == 10
    with pytest.raises(ValueError, match=r"h.jsonl:1: `layers` must be a block of named values or null, found \[\]"):
        parse([json.dumps(record | {"layers": []})], "h.jsonl")


def test_test_size_is_taken_from_the_settings_where_no_rows_are_told(made_up: Callable[..., dict]) -> None:
    record = made_up("p", "pcgrad", 0, 0.0)
    for size, expected in ((4000, 4000), (0, None)):  # 0 stands for the whole test set, whose size only the data know
        record["declaration"]["settings"] = {"test_size": size}
        assert parse([json.dumps(record)], "h.jsonl")[0].test_size == expected


OBSERVED = {
    "names": ["a", "b"], "sizes": [3, 4],
    "rows": [{"step": 0, "mean_cosine": [0.1, 0.2], "magnitude_similarity": [1.0, 1.0], "curvature": [0.0, 2.0]}],
}  # fmt: skip


def test_layers_that_were_observed_are_read(made_up: Callable[..., dict]) -> None:
    record = made_up("p", "pcgrad", 0, 0.0)
    assert parse([json.dumps(record)], "h.jsonl")[0].observed is None
    assert parse([json.dumps(record | {"observed": OBSERVED})], "h.jsonl")[0].observed == OBSERVED


def _diverged(made_up: Callable[..., dict], **more: object) -> dict:
    """A run of which the third epoch of four was the last, with a null for every number in it."""
    record = made_up("p", "pcgrad", 0, 0.0)
    record["epochs"] = record["epochs"][:3]
    record["epochs"][-1] = {"epoch": 3, **dict.fromkeys(list(record["epochs"][-1])[1:])}
    return record | {"diverged": 3} | more


def test_a_run_that_diverged_may_be_short_and_end_in_nulls(made_up: Callable[..., dict]) -> None:
    [run] = parse([json.dumps(_diverged(made_up))], "h.jsonl")
    assert run.diverged == 3
    assert len(run.epochs) == 3
    assert parse([json.dumps(made_up("p", "pcgrad", 0, 0.0))], "h.jsonl")[0].diverged is None


def test_seeds_come_in_order_and_json_is_strict(made_up: Callable[..., dict]) -> None:
    first, second = (made_up("p", "pcgrad", seed, 0.0) for seed in (0, 1))
    with pytest.raises(ValueError, match=r"h.jsonl:2: `seed` must rise from line to line, found 0 after 1"):
        parse([json.dumps(second), json.dumps(first)], "h.jsonl")
    second["epochs"][0]["train.left.loss"] = float("nan")
    with pytest.raises(ValueError, match=r"h.jsonl:1: numbers must be finite, found NaN"):
        parse([json.dumps(second)], "h.jsonl")
    line = json.dumps(made_up("p", "pcgrad", 0, 0.0))
    with pytest.raises(ValueError, match=r"h.jsonl:1: `seed` must stand once in its block, found it twice"):
        parse([f'{{"seed": 0, {line[1:]}'], "h.jsonl")


def test_a_run_knows_what_of_its_line_was_written(made_up: Callable[..., dict]) -> None:
    """Labels may be written anew; every other change of a line changes a hash."""
    record = made_up("p", "pcgrad", 0, 0.0)
    [whole] = parse([json.dumps(record)], "h.jsonl")
    [other] = parse([json.dumps(record | {"family": "controls", "role": {"kind": "baseline"}})], "h.jsonl")
    assert whole.written == other.written
    record["epochs"][1]["val.left.accuracy"] += 1e-12
    [moved] = parse([json.dumps(record)], "h.jsonl")
    assert moved.written[0] != whole.written[0]
    record["declaration"]["settings"]["batch_size"] += 1
    [changed] = parse([json.dumps(record)], "h.jsonl")
    assert (changed.written[0], changed.written[1] == whole.written[1]) == (moved.written[0], False)
