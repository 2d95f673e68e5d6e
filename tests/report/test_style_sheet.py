"""The style sheet: words can be read in light and in dark, and nothing is fetched."""

import re

import pytest

from gradsurgery.report.page import static

SHEET = static("site.css").decode()
LIGHT, DARK = (
    dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", SHEET, re.S)[:2]
)
WORDS = ("ink", "soft", "link", "good", "direction", "bad", "published")


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "tint"])
@pytest.mark.parametrize("word", WORDS)
def test_words_stand_out_from_their_ground(colours: dict[str, str], ground: str, word: str) -> None:
    assert contrast(colours[word], colours[ground]) >= 4.5


def test_it_fetches_nothing_and_its_braces_close() -> None:
    assert "url(" not in SHEET
    assert "@import" not in SHEET
    assert SHEET.count("{") == SHEET.count("}")
