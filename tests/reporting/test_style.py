"""Files are half as large as matplotlib writes them, and show the same."""

import re

import numpy as np
import pytest

from gradsurgery.reporting.style import canvas, label, look, slim, svg


@pytest.fixture
def drawing() -> str:
    with look():
        figure = canvas(3.0, 2.0)
        axes = figure.subplots()
        axes.plot(np.linspace(0.123, 0.987, 30), np.linspace(0, 1, 30) ** 2, "o-")
        axes.set_xticks([0.125, 0.875])
        axes.set_title("a  b 0.12345")
    return svg(figure).decode()


def test_words_keep_every_digit(drawing: str) -> None:
    words = re.findall(r"<text[^>]*>([^<]*)</text>", drawing)
    assert {"0.125", "0.875"} <= set(words)
    assert any("0.12345" in word for word in words)


def test_coordinates_are_short_and_references_hold(drawing: str) -> None:
    assert not re.findall(r'd="[^"]*\d\.\d{3}', drawing)
    referred = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', drawing))
    ids = set(re.findall(r' id="([^"]*)"', drawing))
    assert {a or b for a, b in referred} == ids
    assert "rotate(-0" not in drawing


def test_the_font_is_named_once(drawing: str) -> None:
    assert drawing.count("font-family") == 1
    assert slim(drawing).count("<path") == drawing.count("<path")


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("recon-cagrad-c0_5", "Recon, CAGrad, c = 0.5"),
        ("floor-logistic", "logistic regression"),
        ("static-30", "static, 30 %"),
        ("sum-equal_passes", "sum, equal passes"),
    ],
)
def test_a_method_reads_as_words(method: str, words: str) -> None:
    assert label(method) == words
