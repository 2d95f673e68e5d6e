"""protocol.yaml, read and checked against the published claims: a wrong line gives one sentence.

Its hash is that of its content, not of its bytes, so that a reason reworded in a comment is no deviation; and it covers
what the named claims compare and claim, since another experiment under a claim's old name is another design.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.core.discovery import endless
from gradsurgery.evidence.measures import DERIVED, KNOWN
from gradsurgery.ledger.protocol import COMPARED, FIXED, Design, Protocol
from gradsurgery.ledger.records import Paper, Record
from pipelines._blocks import fields, known, mapping, whole
from pipelines._evidence import read_papers
from pipelines._files import read_json
from pipelines._problems import FRESH, LONG, MOST_SEEDS
from pipelines._yaml import check_plain, read_yaml

NAME = "protocol.yaml"
LISTED = "reports/deviations.json"  # what was changed since: `pipelines.deviations` asks Git
_CHANGE = ["changed", "commit", "date", "subject"]  # what it says of each


def check_runs(protocol: Protocol, scale: str, seeds: Mapping[str, Sequence[int]]) -> None:
    """Refuses a table that does not run what the protocol registered at its scale.

    Args:
        protocol: all of it.
        scale: of the table.
        seeds: of every line of the table, by name.
    """
    for design in (d for d in protocol.every if d.scale == scale):
        for line in design.lines:
            wanted = protocol.seeds(design)
            if lacking := sorted(set(wanted) - set(seeds.get(line, ()))):
                found = f"without {lacking[0]}" if line in seeds else f"no such line at scale {scale}"
                raise ValueError(
                    f"`seeds` of {line} must hold the {design.n} from {wanted[0]} on that {NAME} registered for "
                    f"{design.claim} at scale {scale}, found {found}."
                )


def first_seed(document: Any) -> int:
    """The first fresh seed that the file's content says, for who needs no more of it."""
    seeds = mapping(NAME, document).get("seeds")
    return whole("seeds.first", fields("seeds", seeds, {"first"})["first"], FRESH)


def registered(root: Path, papers: Sequence[Paper] | None = None) -> Protocol | None:
    """What one checkout registered, whose `papers` may have been read; None where it has no such file, and every run is
    exploratory. Raises ValueError for the first thing in it that is missing, unknown or of the wrong kind."""
    if not (root / NAME).is_file():
        return None
    return parse(read_yaml(root / NAME), read_papers(root / "data/published") if papers is None else papers)


def read_changes(root: Path) -> list[dict[str, str]]:
    """What `pipelines.deviations` wrote down, nothing where it wrote nothing. Raises ValueError for anything else."""
    path, remedy = root / LISTED, "run `python -m pipelines.deviations`"
    found = read_json(path, remedy) if path.exists() else []
    if not isinstance(found, list) or not all(map(_is_change, found)):
        raise ValueError(f"{path} must hold {', '.join(_CHANGE)} of commits, found {found!r:.40}: {remedy}.")
    return found


def _is_change(row: Any) -> bool:
    return isinstance(row, dict) and sorted(row) == _CHANGE and all(isinstance(text, str) for text in row.values())


def parse(document: Any, papers: Sequence[Paper]) -> Protocol:
    """What `registered` makes of the file's content."""
    check_plain("", document)
    top = fields(NAME, document, {"alpha", "power", "margins", "seeds", "families"})
    margins = {
        known("margins", word, sorted({*KNOWN, *DERIVED})): _number(f"margins.{word}", margin, 0.0, float("inf"))
        for word, margin in mapping("margins", top["margins"]).items()
    }
    first = first_seed(top)
    alpha, power = _number("alpha", top["alpha"], 0.0, 0.5), _number("power", top["power"], 0.5, 1.0)
    records = {paper.key: {r.id: r for r in paper.records if r.kind in COMPARED} for paper in papers}
    designs: dict[str, tuple[Design, ...]] = {}
    compared: dict[str, list[Any]] = {}
    for key, block in mapping("families", top["families"]).items():
        claims = records[known("families", key, records)]
        designs[key] = _family(f"families.{key}", key, block, claims, margins)
        compared |= {design.claim: _compared(claims[design.claim]) for design in designs[key]}
    text = json.dumps([document, compared], sort_keys=True, allow_nan=False)
    return Protocol(alpha, power, margins, first, designs, hashlib.sha256(text.encode()).hexdigest())


def _family(
    where: str, paper: str, block: Any, claims: Mapping[str, Record], margins: Mapping[str, float]
) -> tuple[Design, ...]:
    if not isinstance(block, list) or not block:
        raise ValueError(f"`{where}` must be a list of designs, found {block!r:.60}.")
    found: dict[str, Design] = {}
    for i, one in enumerate(block):
        here = f"{where}.{i}"
        own = fields(here, one, {"claim", "scale", "n", "rule"})
        short = [name.removeprefix(f"{paper}/") for name in claims]
        name = f"{paper}/{known(f'{here}.claim', own['claim'], short)}"
        if name in found:
            raise ValueError(f"`{here}.claim` must stand once, found {own['claim']!r} again.")
        if (answer := claims[name].answered_by) is None:
            raise ValueError(f"`{here}.claim` must be one that an experiment answers, found {own['claim']!r}.")
        if (last := answer.metric.rsplit(".", 1)[-1]) not in margins:
            raise ValueError(f"`margins` must hold {last!r}, which {own['claim']!r} is judged by, found none.")
        scale, rule = known(f"{here}.scale", own["scale"], LONG), known(f"{here}.rule", own["rule"], [FIXED])
        lines = answer.experiment, str(answer.minus)
        found[name] = Design(name, scale, whole(f"{here}.n", own["n"], 2, MOST_SEEDS), rule, lines)
    return tuple(found.values())


def _compared(record: Record) -> list[Any]:
    """What must not change under a claim's name."""
    answer = record.answered_by
    assert answer is not None  # `_family` refuses others
    return [answer.experiment, answer.minus, answer.metric, record.kind, record.direction, record.value]


def _number(where: str, value: Any, above: float, below: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or endless(value) or not above < value < below:
        raise ValueError(f"`{where}` must be a number above {above:g} and below {below:g}, found {value!r}.")
    return float(value)
