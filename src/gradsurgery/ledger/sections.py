"""What a paper's section is to show and to say, declared with the paper and before the numbers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.evidence.words import ALONE, EFFECTS
from gradsurgery.ledger.checks import check_kinds

MISSING = "missing"
_WORDS = (*EFFECTS, ALONE)
_HOW = ("all", "any", "no")


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a pattern of verdicts means.

    Attributes:
        when: by the line that the paper's method is held against, a condition on the verdicts of its metrics, or a list
            of conditions that must all hold: `all inconclusive`, `any better`, `no worse`, `missing`.
        say: in words.
    """

    when: Mapping[str, str | Sequence[str]]
    say: str

    def __post_init__(self) -> None:
        check_kinds(self, " of a reading")
        for line in self.when:
            for condition in _conditions(self.when[line]):
                how, _, word = condition.partition(" ")
                if condition != MISSING and (how not in _HOW or word not in _WORDS):
                    known = f"`missing`, or one of {', '.join(_HOW)} with one of {', '.join(_WORDS)}"
                    raise ValueError(f"`when` of a reading must be {known}, found {condition!r} for {line}.")

    def fits(self, verdicts: Mapping[str, Sequence[str]]) -> bool:
        """Whether all conditions hold; verdicts are by line, one a metric, none for a line that was not run."""
        return all(
            _holds(condition, verdicts.get(line, ()))
            for line in self.when
            for condition in _conditions(self.when[line])
        )


@dataclasses.dataclass(frozen=True)
class Declared:
    """The section of one paper.

    Attributes:
        claim: what the paper says its method does, in one or two sentences.
        blocks: what is shown, each with its `kind`: a file of gradsurgery/report/blocks.
        note: what a reader must know of how the lines were run, beyond their settings.
        readings: what the verdicts mean; the first that fits is said.
    """

    claim: str
    blocks: Sequence[Mapping[str, Any]] = ()
    readings: Sequence[Reading] = ()
    note: str = ""

    def __post_init__(self) -> None:
        check_kinds(self, " of `section`")

    def reading(self, verdicts: Mapping[str, Sequence[str]]) -> str:
        """Empty where none fits."""
        return next((reading.say for reading in self.readings if reading.fits(verdicts)), "")


def read_section(document: Mapping[str, Any]) -> Declared:
    """`section` of a paper's document. Raises ValueError for a block without a kind, TypeError for unknown fields."""
    blocks = document.get("blocks", [])
    for block in blocks:
        if not isinstance(block, dict) or not isinstance(block.get("kind"), str):
            raise ValueError(f"`blocks` must be blocks with a `kind`, found {block!r:.80}.")
    readings = tuple(Reading(**entry) for entry in document.get("readings", []))
    rest = {name: value for name, value in document.items() if name not in ("blocks", "readings")}
    return Declared(**rest, blocks=tuple(blocks), readings=readings)


def _conditions(given: str | Sequence[str]) -> Sequence[str]:
    return [given] if isinstance(given, str) else given


def _holds(condition: str, found: Sequence[str]) -> bool:
    if condition == MISSING or not found:
        return condition == MISSING and not found
    how, _, word = condition.partition(" ")
    return {"all": set(found) == {word}, "any": word in found, "no": word not in found}[how]
