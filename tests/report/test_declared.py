"""A section as its paper declares it: a part a block, first figures first, and only kinds that there are."""

from collections.abc import Mapping
from typing import Any

import pytest

from gradsurgery.ledger.sections import Declared
from gradsurgery.report.declared import KINDS, section
from gradsurgery.report.sources import Sources
from tests.histories import as_run, landscape_run, sources_of

DESCENTS = [{"kind": "descent", "problems": [name]} for name in ("cagrad_toy", "sam_gs_toy1")]


@pytest.fixture
def sources() -> Sources:
    places = ("cagrad_toy", "sam_gs_toy1")
    return sources_of({f"{p}-mean": [as_run(landscape_run(p, "mean", [True, False]))] for p in places})


def test_parts_follow_the_blocks_and_first_figures_stand_before_all_others(sources: Sources) -> None:
    made = section("cagrad", Declared("It helps.", DESCENTS, note="By hand."), sources)
    assert made is not None
    assert [drawing.name for drawing in made.drawings] == [
        "cagrad_toy-parameters", "sam_gs_toy1-parameters", "cagrad_toy-losses", "sam_gs_toy1-losses"
    ]  # fmt: skip
    assert [sheet.name for sheet in made.sheets] == ["cagrad_toy", "sam_gs_toy1"]
    assert made.claim == "It helps."
    assert made.ran.endswith(" By hand.")
    assert made.found.index("landscape of CAGrad") < made.found.index("landscape of SAM-GS")


def test_what_two_blocks_ran_alike_is_said_once(sources: Sources) -> None:
    made = section("cagrad", Declared("It helps.", [DESCENTS[0], DESCENTS[0]]), sources)
    assert made is not None
    assert made.ran.count("from 2 starts") == 1


def test_a_block_that_has_nothing_to_show_is_left_out_and_none_make_no_section(sources: Sources) -> None:
    absent = {"kind": "descent", "problems": ["pcgrad_toy"]}
    made = section("cagrad", Declared("It helps.", [absent, DESCENTS[0]]), sources)
    assert made is not None
    assert len(made.sheets) == 1
    assert section("cagrad", Declared("It helps.", [absent]), sources) is None
    assert section("cagrad", Declared("It helps."), sources) is None


def test_an_unknown_kind_is_refused_with_those_that_there_are(sources: Sources) -> None:
    assert {"contrast", "descent", "against_sum"} < set(KINDS)
    with pytest.raises(ValueError, match=r"`kind` of a block of cagrad must be one of .*descent.*, found 'descend'"):
        section("cagrad", Declared("It helps.", [{"kind": "descend"}]), sources)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"kind": "descent"}, "`problems` of descent of cagrad must be given"),
        ({"kind": "descent", "problems": ["pcgrad_toy"], "where": "x"}, "`where` of descent of cagrad must be a known"),
        ({"kind": "descent", "problems": "pcgrad_toy"}, "`problems` of `descent of cagrad` must be a list of a text"),
        ({"kind": "against_sum", "family": float("nan")}, "`family` of `against_sum of cagrad` must be a text, found"),
        ({"kind": "contrast", "family": "f", "told": [["a", 1]]}, "`told` of `contrast of cagrad` must be a list of a"),
        ({"kind": "contrast", "family": "f", "told": [], "names": {"a": 1}}, "`names` of `contrast of cagrad` must be"),
        ({"kind": "layers", "problem": 1, "pairs": []}, "`problem` of `layers of cagrad` must be a text, found 1"),
        ({"kind": "router", "problem": None}, "`problem` of `router of cagrad` must be a text, found None"),
    ],
)
def test_a_setting_of_a_block_is_what_the_block_takes(sources: Sources, block: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        section("cagrad", Declared("It helps.", [block]), sources)
