"""Files are a third as large as matplotlib writes them, and show the same."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from gradsurgery.report.compact import path, slim
from gradsurgery.report.style import canvas, look, svg

NUMBERS = re.compile(r"-?(?:\d+\.?\d*|\.\d+)")


def plotted(colour: str) -> Figure:
    with look():
        figure = canvas(3.0, 2.0)
        axes = figure.subplots()
        axes.plot(np.linspace(0.123, 0.987, 30), np.linspace(0, 1, 30) ** 2, "o-", color=colour)
        axes.set_xticks([0.125, 0.875])
        axes.set_title("a  b 0.12345")
    return figure


@pytest.fixture
def drawing() -> str:
    return svg(plotted("#0072B2")).decode()


def ends(data: str) -> list[tuple[float, float]]:
    """Where the steps of a path of this module's commands end, in points; written apart from the code under test."""
    x = y = left = top = 0.0
    found = []
    for command, text in re.findall(r"([Mmlhvqcz])([^Mmlhvqcz]*)", data):
        numbers = [float(number) for number in NUMBERS.findall(text)]
        if command == "z":
            x, y = left, top
        for start in range(0, len(numbers), width := {"h": 1, "v": 1, "q": 4, "c": 6}.get(command, 2)):
            step = numbers[start : start + width]
            dx, dy = {"h": (step[-1], 0.0), "v": (0.0, step[-1])}.get(command, tuple(step[-2:]))
            x, y = x + dx, y + dy
            found.append((round(x, 2), round(y, 2)))
        if command in "Mm":
            left, top = x, y
    return found


@pytest.mark.parametrize(
    ("data", "short"),
    [
        ("M 1 2 L 3 2 L 5 2 L 5 4 L 5 4 L 5 3 z M 0 0 L 1 1 ", "M1 2h4v2-1zm-1-2l1 1"),
        ("M 0.504 -0.126 L 0.496 0.25 ", "M.5-.13v.38"),
        ("M 0 0 C 1 2 3 4 5 6 C 6 6 6 6 7 7 ", "M0 0c1 2 3 4 5 6 1 0 1 0 2 1"),
        ("M 0 0 M 3 3 L 3 3 ", "M0 0m3 3h0"),
        ("M 1 1 Q 2 2 3 1 L 1 1 ", "M1 1q1 1 2 0h-2"),
    ],
    ids=["lines", "rounding", "curves", "a dot stays", "quadratic"],
)
def test_a_path_in_relative_steps(data: str, short: str) -> None:
    assert path(data) == short


def test_rounding_does_not_add_up() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(scale=50.0, size=(400, 2)).cumsum(axis=0)
    data = "M " + " L ".join(f"{x:.6f} {y:.6f}" for x, y in points)
    assert np.abs(np.array(ends(path(data))) - points).max() < 0.0051
    assert len(path(data)) < 0.5 * len(data)


def test_a_turn_back_along_an_axis_is_kept() -> None:
    assert ends(path("M 0 0 L 5 0 L 2 0 L 2 7 L 2 9 ")) == [(0, 0), (5, 0), (2, 0), (2, 9)]


def test_groups_close_and_shapes_stay(drawing: str) -> None:
    buffer = io.BytesIO()
    with look():
        FigureCanvasSVG(plotted("#0072B2")).print_svg(buffer)
    raw = buffer.getvalue().decode()
    for tag in ("path", "use", "text", "clipPath"):
        count = {len(ElementTree.fromstring(each).findall(f".//{{*}}{tag}")) for each in (raw, drawing)}
        assert len(count) == 1
        assert count != {0}
    assert len(drawing) < 0.5 * len(raw)


def test_words_keep_every_digit(drawing: str) -> None:
    words = re.findall(r"<text[^>]*>([^<]*)</text>", drawing)
    assert {"0.125", "0.875"} <= set(words)
    assert any("0.12345" in word for word in words)


def test_coordinates_are_short_and_references_hold(drawing: str) -> None:
    assert not re.findall(r'd="[^"]*\.\d{3}', drawing)
    referred = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', drawing))
    ids = set(re.findall(r' id="([^"]*)"', drawing))
    assert {a or b for a, b in referred} == ids
    assert "rotate(-0" not in drawing
    assert "<metadata" not in drawing


def test_the_font_is_named_once(drawing: str) -> None:
    assert drawing.count("font-family") == 1


def test_every_class_is_said_once_and_a_style_with_a_reference_stays_where_it_is() -> None:
    made = slim('<svg width="1"><path style="fill: red"/><path style="fill: red"/><rect style="fill: url(#h)"/></svg>')
    assert made.count("{fill: red}") == 1
    assert made.count('class="_a"') == 2
    assert 'style="fill: url(#h)"' in made


def test_a_shape_outside_of_its_panel_leaves_no_half_group() -> None:
    made = slim('<svg><g><g clip-path="url(#a)"/><path d="M 0 0 L 1 1 "/></g><clipPath id="a"/></svg>')
    assert ElementTree.fromstring(made).find(".//{*}path") is not None
    assert "<g" not in made


def test_clips_that_are_alike_at_two_decimals_are_one() -> None:
    clip = '<clipPath id="{}"><rect x="{}" y="0" width="9" height="9"/></clipPath>'
    clips = clip.format("p1", 1.001) + clip.format("p2", 1.0009) + clip.format("p3", 2.5)
    shapes = "".join(f'<path d="M 0 0 L {k} 5" clip-path="url(#p{k})"/>' for k in (1, 2, 3))
    found = slim(f'<svg width="9pt">{shapes}<defs>{clips}</defs></svg>')
    assert found.count("<clipPath") == 2
    used = re.findall(r"url\(#(\w+)\)", found)
    assert used[0] == used[1] != used[2]
    assert set(used) == set(re.findall(r'<clipPath id="(\w+)"', found))
