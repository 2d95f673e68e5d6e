"""The report's files as they are made: each by one part only, and whole in the end."""

import pandas as pd
import pytest

from gradsurgery.report.output import Output
from gradsurgery.report.style import canvas, look


def test_every_file_has_one_maker() -> None:
    out = Output()
    frame = pd.DataFrame([{"a|b": 1.5, "c": None}])
    assert out.table("t", frame) is frame
    assert out.files["tables/t.csv"] == b"a|b,c\n1.5,\n"
    assert out.files["tables/t.md"].decode() == "| a\\|b | c |\n| --- | --- |\n| 1.5 | - |\n"
    with pytest.raises(ValueError, match=r"`tables/t.csv` must be made by one part of the report, found it made twice"):
        out.table("t", frame)


def test_a_figure_is_there_when_all_are_drawn() -> None:
    out = Output()
    with look():
        figure = canvas(2.0, 2.0)
        figure.subplots()
    drawn = out.figure("f", figure, "said")
    assert (drawn["name"], drawn["caption"]) == ("f", "said")
    assert out.finish()["figures/f.svg"] == drawn["svg"].result()
