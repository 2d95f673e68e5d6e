"""The README's generated block: between its markers and nowhere else."""

import pytest

from gradsurgery.report.readme import END, START, with_block, with_block_of


def test_the_block_is_replaced_and_the_rest_stays() -> None:
    made = with_block(f"before {START} old {END} after", [])
    assert made.startswith(f"before {START}\n\n")
    assert made.endswith(f"{END} after")
    assert "old" not in made


def test_a_block_is_taken_over_from_another_text() -> None:
    assert with_block_of(f"a {START} old {END} b", f"c {START} new {END} d") == f"a {START} new {END} b"


@pytest.mark.parametrize("text", ["nothing", f"{START}", f"{START}{START}{END}"])
def test_markers_must_stand_there_once(text: str) -> None:
    with pytest.raises(ValueError, match="must appear once in the README"):
        with_block(text, [])
