"""YAML becomes records: cells know their baseline and their doubts, and what is malformed is refused by name."""

import copy
import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from gradsurgery.ledger.reading import read
from tests.published import document, paper


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ("cagrad/table-1/CAGrad, UW, c = 0.6/all.delta_m", "its own metrics give -1.79"),
        ("cagrad/table-1/CAGrad, UW, c = 0.6/normal.within_30", "same numbers as row CAGrad, UW, c = 0.4"),
        ("sam_gs/table-3/MGDA/all.delta_m", "as mean ranks must"),
        ("sam_gs/table-2/SAM-GS/all.mean_rank", "sum to 118.9"),
        ("recon/table-5/Joint/all.delta_m", "its own metrics give 1.18"),
    ],
)
def test_the_recomputation_itself_writes_the_doubt_into_the_record(record: str, text: str) -> None:
    found = {r.id: r for r in paper(record.split("/")[0]).records}[record]
    assert text in str(found.doubtful)


@pytest.mark.parametrize("shift", [0.11, -0.11])
@pytest.mark.parametrize("row", ["MTAN", "CAGrad, c = 0.4"])
def test_a_delta_m_moved_by_a_tenth_is_flagged_in_its_record(row: str, shift: float) -> None:
    edited = copy.deepcopy(document("cagrad"))
    next(t for t in edited["tables"] if t["id"] == "table-1")["rows"][row]["delta_m"] += shift
    found = {r.id: r for r in read(edited).records}[f"cagrad/table-1/{row}/all.delta_m"]
    assert "its own metrics give" in str(found.doubtful)


def test_a_doubt_goes_when_the_number_is_put_right() -> None:
    mended = copy.deepcopy(document("cagrad"))
    row = next(t for t in mended["tables"] if t["id"] == "table-1")["rows"]["CAGrad, UW, c = 0.6"]
    row["values"][-3:], row["delta_m"] = [27.0, 54.5, 67.5], -1.98
    del row["doubtful"]
    found = [r for r in read(mended).records if "/CAGrad, UW, c = 0.6/" in r.id]
    assert [r.doubtful for r in found if "Recomputed" in str(r.doubtful)] == []


def test_cells_of_an_answered_row_know_their_baseline() -> None:
    found = {r.id: r for r in paper("recon").records}
    cell = found["recon/table-1/PCGrad + Recon/right.accuracy"]
    assert cell.answered_by is not None
    assert cell.answered_by.minus == "multi_fashion_mnist_resnet-sum"
    assert cell.margin == pytest.approx(98.30 - 97.42)
    signs = {key: next(r.direction for r in paper(key).records if r.metric == "delta_m") for key in ("recon", "cagrad")}
    assert signs == {"recon": "higher", "cagrad": "lower"}, "the papers print it with opposite signs"
    assert found["recon/table-1/Joint/right.accuracy"].margin is None
    assert found["recon/table-1/RotoGrad/right.accuracy"].unanswered
    assert found["recon/table-1/Joint/size.megabytes"].unanswered
    assert "recon/table-1/MGDA/size.megabytes" not in found


def test_spreads_keep_their_meaning() -> None:
    found = {r.id: r for r in paper("gcond").records}["gcond/table-2-ct/GCond sequential/l1.loss"]
    assert (found.spread, found.spread_kind) == (0.01195, "interval, level not stated")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "vague"}, "`kind` of pcgrad/toy-lower-loss must be one of"),
        ({"value": "many"}, "`value` of pcgrad/toy-lower-loss must be a finite number"),
        ({"value": 10**400}, "`value` of pcgrad/toy-lower-loss must be a finite number"),
        ({"seeds": 0}, "`seeds` of pcgrad/toy-lower-loss must be at least 1 or null"),
        ({"spread": -1.0, "spread_kind": "sd"}, "`spread` of pcgrad/toy-lower-loss must be at least 0"),
        ({"id": None}, "`id` must be a text, found None"),
        ({"direction": "up"}, "`direction` of pcgrad/toy-lower-loss must be"),
        ({"answered_by": None}, "`answered_by` or `unanswered` of pcgrad/toy-lower-loss must be given"),
        ({"answered_by": {"experiment": "a", "metric": "b"}}, "`answered_by.minus` and `direction`"),
        ({"value": None, "kind": "count"}, "`value` of pcgrad/toy-lower-loss must be a number, found null"),
        ({"spread": 1.0}, "`spread` and `spread_kind` of pcgrad/toy-lower-loss must be given together"),
        ({"colour": "red"}, "`colour` of pcgrad/toy-lower-loss must be a known field"),
        ({"id": "multi-mnist-left"}, "`id` must be unique within a paper"),
    ],
)
def test_malformed_record_is_refused(change: dict[str, Any], message: str) -> None:
    broken = copy.deepcopy(document("pcgrad"))
    broken["claims"][0] |= change
    with pytest.raises(ValueError, match=message):
        read(broken)


def test_record_without_provenance_is_refused() -> None:
    broken = copy.deepcopy(document("pcgrad"))
    del broken["claims"][0]["cell"]
    with pytest.raises(ValueError, match="`cell` of pcgrad/toy-lower-loss must be given"):
        read(broken)


def test_row_of_the_wrong_length_is_refused() -> None:
    broken = copy.deepcopy(document("pcgrad"))
    broken["tables"][0]["rows"]["PCGrad"]["values"] = [96.58]
    with pytest.raises(ValueError, match="must have 2 numbers, found 1"):
        read(broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "`colour` of recon/table-1 must be a known field"),
        ({"base": "Nobody"}, "`base` of recon/table-1 must be one of its rows, found 'Nobody'"),
        (
            {"baseline": "RotoGrad"},
            "`experiment` of recon/table-1/RotoGrad must be given, as it is the table's baseline",
        ),
        ({"cell": 1}, "`cell` of `recon/table-1` must be a text, found 1"),
        ({"delta_m": {"over": "task", "better": "higher"}}, "`delta_m.over` must be one of 'metrics', 'tasks'"),
        ({"delta_m": {"over": "tasks", "better": "more"}}, "`delta_m.better` must be one of 'higher', 'lower'"),
        ({"delta_m": {"over": "tasks"}}, "`better` of recon/table-1, delta_m must be given"),
        ({"delta_m_tolerance": float("nan")}, "`delta_m_tolerance` of `recon/table-1` must be a finite number"),
        ({"id": 3}, "`id` must be a text, found 3"),
    ],
)
def test_malformed_table_is_refused(change: dict[str, Any], message: str) -> None:
    broken = copy.deepcopy(document("recon"))
    broken["tables"][0] |= change
    with pytest.raises(ValueError, match=re.escape(message)):
        read(broken)


def test_a_spread_for_every_metric() -> None:
    broken = copy.deepcopy(document("gcond"))
    table = next(t for t in broken["tables"] if any("spread" in row for row in t["rows"].values()))
    next(row for row in table["rows"].values() if "spread" in row)["spread"].append(0.1)
    with pytest.raises(ValueError, match=r"`spread` of gcond/.* must have \d+ numbers, found \d+"):
        read(broken)


@pytest.mark.parametrize("key", ["cagrad", "dr_mgf", "drgrad", "gcond", "pcgrad", "recon", "sam_gs"])
def test_what_is_not_a_number_is_refused_wherever_it_stands(key: str) -> None:
    """But in the settings of a block, which the block itself refuses: tests/report/test_declared.py."""
    whole = dict(document(key))
    for part in ("claims", "tables"):
        whole[part] = whole[part][:1]
    places = [path for path in _places(whole) if path[:2] != ("section", "blocks") or len(path) < 4]
    assert len(places) > 40
    for path in places:
        broken = copy.deepcopy(whole)
        node: Any = broken
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = float("nan")
        try:
            read(broken)
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
        pytest.fail(f"{path} = nan was read")


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value stands: of a list, in its first entry, and of a table's rows, in the first."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in itertools.islice(entries, 1 if isinstance(node, list) or path[-1:] == ("rows",) else None):
        yield (*path, name)
        yield from _places(value, (*path, name))
