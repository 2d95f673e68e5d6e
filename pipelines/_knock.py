"""Which data sets could be had: all sources of all of them are asked at once, before any work, within seconds."""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines._download import SourceError
from pipelines._formats import spoken
from pipelines._sources import MIRROR, Way, mirrored, ways

SECONDS = 15.0  # that all answers together may take


def mirror_folder() -> Path | None:
    """The user's mirror, by GRADSURGERY_MIRROR. Raises ValueError where that names no folder."""
    given = os.environ.get(MIRROR)
    if given and not Path(given).is_dir():
        raise ValueError(f"`{MIRROR}` must be a folder, found {given!r}.")
    return Path(given).resolve() if given else None


def unreachable(
    datasets: Mapping[str, Mapping[str, Any]], mirror: Path | None, seconds: float = SECONDS
) -> dict[str, list[str]]:
    """By data set that no source has, why not: one line a source. What the sources would send is not looked at.

    Who has not answered in time is left behind, asking: a hanging server or client costs no more than `seconds`.
    """
    asked = {name: [*ways(name, block), mirrored(mirror, name, block["arrays"])] for name, block in datasets.items()}
    answers: dict[tuple[str, int], str] = {}  # empty: open
    news = threading.Condition()

    def ask(key: tuple[str, int], way: Way) -> None:
        try:
            way.knock()
            answer = ""
        except Exception as error:  # one that cannot even be asked is not open
            answer = str(error) if isinstance(error, SourceError) else f"{type(error).__name__}: {error}"
        with news:
            answers[key] = answer
            news.notify()

    for name, own in asked.items():
        for place, way in enumerate(own):
            threading.Thread(target=ask, args=((name, place), way), daemon=True).start()

    def settled(name: str) -> bool:
        own = [answers.get((name, place)) for place in range(len(asked[name]))]
        return "" in own or None not in own

    until = time.monotonic() + seconds
    with news:
        while not all(map(settled, asked)) and (left := until - time.monotonic()) > 0:
            news.wait(left)
        return {
            name: [f"{way.label}: {answers.get((name, place), 'no answer')}" for place, way in enumerate(own)]
            for name, own in asked.items()
            if "" not in [answers.get((name, place)) for place in range(len(own))]
        }


def told(name: str, block: Mapping[str, Any], reasons: Sequence[str]) -> str:
    """Why a data set could not be had, and what to put where."""
    by_hand = [
        f"  {spoken(array, pin)}"
        + (f"  (sha256 of its values, without the header: {pin['sha256']})" if "sha256" in pin else "")
        for array, pin in block["arrays"].items()
    ]
    return "\n".join([
        f"no source gave the data set {name}.", *(f"  {reason}" for reason in reasons),
        f"  {block.get('title', 'no title given')}. Licence: {block.get('licence', 'none given')}.",
        f"By hand: put these files, plain, as .gz or in a package, into a folder <any>/{name}/ and set {MIRROR}=<any>:",
        *dict.fromkeys(by_hand),
    ])  # fmt: skip
