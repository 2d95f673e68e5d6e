"""A drawing of matplotlib's in a third of its bytes, because all figures lie in Git and a page shows many of them.

Nothing that can be seen goes: coordinates keep two decimals of a point, which is below what a screen or a printer
resolves; steps are relative; a style that many shapes share is a class; names that nothing refers to, groups without a
meaning, rotations by nothing, metadata and white space go.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

FONT = "font-family: 'DejaVu Sans', 'Arial', sans-serif;"

_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_TAG = re.compile(r"<[^>]*>")
_COMMAND = re.compile(r"([A-Za-z])([^A-Za-z]*)")
_COMMON = "svg *{stroke-linejoin: round; stroke-linecap: butt}"
_POINTS = {"M": 1, "L": 1, "Q": 2, "C": 3}

Step = tuple[str, tuple[int, ...]]  # a command and its numbers, in hundredths of a point


def slim(drawing: str) -> str:
    """The same picture in fewer bytes, from what matplotlib wrote."""
    start = drawing.index("<svg")
    head, body = drawing[:start], drawing[start:]
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", body.replace(f"{FONT} ", ""))
    body = re.sub(r' d="([^"]*)"', lambda found: f' d="{path(found[1])}"', body)
    body = re.sub(r'="[^"]*"', lambda value: _NUMBER.sub(_shorter, value[0]), body)  # and never in words
    body = _ungrouped(_renamed(_clipped_once(re.sub(r"\s+", " ", re.sub(r">\s+<", "><", body)).strip())))
    return head + _classed(body).replace("<svg ", f'<svg style="{FONT}" ', 1) + "\n"


def path(data: str) -> str:
    """A path in relative steps. Steps of no length go, and steps along one axis in one direction are one."""
    return _written(_joined(_steps(data)))


def _shorter(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _clipped_once(body: str) -> str:
    """With one name for clips that are alike at two decimals: how many of them matplotlib keeps apart, by the last bits
    of their corners, is not the same in every process."""
    first: dict[str, str] = {}
    names: dict[str, str] = {}

    def keep(clip: re.Match[str]) -> str:
        names[clip[1]] = first.setdefault(clip[2], clip[1])
        return clip[0] if names[clip[1]] == clip[1] else ""

    body = re.sub(r'<clipPath id="([^"]*)">(.*?)</clipPath>', keep, body)
    return re.sub(r"url\(#([^)]*)\)", lambda found: f"url(#{names.get(found[1], found[1])})", body)


def _renamed(body: str) -> str:
    """Short ids for what is referred to, none for the rest."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]*)', body))
    known = [name for name in re.findall(r' id="([^"]*)"', body) if name in used]
    short = {name: _letters(place) for place, name in enumerate(known)}
    body = re.sub(r' id="([^"]*)"', lambda found: f' id="{short[found[1]]}"' if found[1] in short else "", body)
    return re.sub(r'(href="#|url\(#)([^")]*)', lambda found: found[1] + short.get(found[2], found[2]), body)


def _letters(place: int) -> str:
    text = ""
    while place >= 0:
        text, place = chr(ord("a") + place % 26) + text, place // 26 - 1
    return text


def _ungrouped(body: str) -> str:
    """Without groups that say nothing."""
    kept: list[bool] = []

    def bare(tag: re.Match[str]) -> str:
        if tag[0].startswith("<g ") and tag[0].endswith("/>"):
            return ""  # a shape that lies outside of its panel leaves an empty group behind
        if tag[0].startswith("<g") and tag[0][2] in "> ":
            kept.append(tag[0] != "<g>")
            return tag[0] if kept[-1] else ""
        return "" if tag[0] == "</g>" and not kept.pop() else tag[0]

    return _TAG.sub(bare, body)


def _classed(body: str) -> str:
    rules: dict[str, str] = {}
    body = re.sub(r' style="([^"(]*)"', lambda style: f' class="{_name(style[1], rules)}"', body)
    return body.replace(">", f'><style type="text/css">{_sheet(rules)}</style>', 1)


def _sheet(rules: Mapping[str, str]) -> str:
    """The style sheet of a drawing: classes by what they say."""
    return _COMMON + "".join(f".{name}{{{rule}}}" for rule, name in rules.items())


def _name(rule: str, rules: dict[str, str]) -> str:
    return rules.setdefault(rule, f"_{_letters(len(rules))}")


def _steps(data: str) -> Iterator[Step]:
    x = y = left = top = 0
    for command, text in _COMMAND.findall(data):
        if command in "zZ":
            x, y = left, top
            yield "z", ()
            continue
        numbers = [round(100 * float(number)) for number in text.split()]
        width = 2 * _POINTS[command]
        for place in range(0, len(numbers), width):
            shifted = [value - (y if i % 2 else x) for i, value in enumerate(numbers[place : place + width])]
            yield command.lower(), tuple(shifted)
            x, y = x + shifted[-2], y + shifted[-1]
        if command == "M":
            left, top = x, y


def _joined(steps: Iterator[Step]) -> list[Step]:
    found: list[Step] = []
    for command, numbers in steps:
        last, before = found[-1] if found else ("", ())
        if command == last == "l" and (before == (0, 0) or numbers == (0, 0) or _onward(before, numbers)):
            found[-1] = ("l", (before[0] + numbers[0], before[1] + numbers[1]))
        else:
            found.append((command, numbers))
    return found


def _onward(before: Sequence[int], numbers: Sequence[int]) -> bool:
    """Whether both steps go along one axis and the same way."""
    return any(before[i] == numbers[i] == 0 < before[1 - i] * numbers[1 - i] for i in range(2))


def _written(steps: Sequence[Step]) -> str:
    text, last = "", ""
    for command, numbers in steps:
        letter, shown = command, numbers
        if command == "l" and 0 in numbers:
            letter, shown = ("h", numbers[:1]) if numbers[1] == 0 else ("v", numbers[1:])
        fresh = letter != last or letter == "m"
        text += ("M" if not text else letter) if fresh else ""
        for i, number in enumerate(shown):
            digits = _digits(number)
            text += digits if digits.startswith("-") or (i == 0 and fresh) else f" {digits}"
        last = letter
    return text


def _digits(hundredths: int) -> str:
    text = f"{abs(hundredths) / 100:.2f}".rstrip("0").rstrip(".").removeprefix("0") or "0"
    return f"-{text}" if hundredths < 0 else text
