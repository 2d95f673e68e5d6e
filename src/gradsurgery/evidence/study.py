"""Studies as the report sees them: equal-budget random search, and its winners on fresh seeds.

A study decides nothing unless it kept its own terms: as many trials for every method, the same shared settings in the
trials of one number, and winners picked on validation. `check` holds it to them, from its records alone.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_type_hints

import numpy as np

from gradsurgery.budget import SHARED, check_equal
from gradsurgery.core.discovery import require
from gradsurgery.core.metrics import score
from gradsurgery.evidence.history import Run
from gradsurgery.evidence.history import parse as parse_runs
from gradsurgery.evidence.measures import by_word
from gradsurgery.evidence.selection import FAIR, RULES
from gradsurgery.evidence.strict import loads

STATIC, SUM = "static", "sum"
KINDS = ("search", "winner")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One line of a study; `run` is None for a trial that failed."""

    kind: str
    method: str
    number: int
    seed: int
    scale: str
    data_sha256: str
    declaration: Mapping[str, Any]
    run: Run | None


_HINTS = get_type_hints(Trial)
_FIELDS = {"kind": "kind", "method": "method", "trial": "number", "seed": "seed", "scale": "scale",
           "data_sha256": "data_sha256", "declaration": "declaration"}  # fmt: skip


def parse(lines: Iterable[str], where: str) -> list[Trial]:
    """The trials of one study, in the order of its lines. Raises ValueError, naming the line, for one that is none.

    That they are as they were written is for who reads them from Git to see, as of histories.
    """
    found: list[Trial] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = loads(line)
            if not isinstance(record, dict) or record.get("kind") not in KINDS:
                raise ValueError(f"a trial must be of a `kind` of {', '.join(KINDS)}, found {line!r:.40}.")
            for field, name in _FIELDS.items():
                require(field, record.get(field), _HINTS[name])
            require("failed", record.get("failed"), bool)
            if record["failed"]:
                run = None
            else:
                [run] = parse_runs([line], where)
            found.append(Trial(**{name: record[field] for field, name in _FIELDS.items()}, run=run))
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}:{number}: a line must be one JSON object, found {error.msg}.") from None
        except ValueError as error:
            raise ValueError(f"{where}:{number}: {str(error).removeprefix(f'{where}:1: ')}") from None
    return found


def searched(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """The trials of the search by method, in the order of their numbers; the sum and static weights come first."""
    methods = sorted({t.method for t in trials if t.kind == "search"}, key=lambda m: (m != SUM, m != STATIC, m))
    ordered = sorted((t for t in trials if t.kind == "search"), key=lambda t: t.number)
    return {m: [t for t in ordered if t.method == m] for m in methods}


def winners(trials: Sequence[Trial]) -> dict[str, list[Run]]:
    """Finished runs of every method's winner on the fresh seeds."""
    found: dict[str, list[Run]] = {}
    for trial in sorted((t for t in trials if t.kind == "winner"), key=lambda t: t.seed):
        if trial.run is not None:
            found.setdefault(trial.method, []).append(trial.run)
    return found


def level(run: Run, rule: str, split: str) -> float:
    """Mean of tasks of the problem's first kind of metric at the epoch that `rule` picks; more is better."""
    names = next(iter(by_word(run.metrics).values()))
    metrics = {name: run.metrics[name] for name in names}
    return float(np.mean([score(run.epochs[index], split, metrics) for index in RULES[rule](run)]))


def validation(trial: Trial, rule: str) -> float:
    """What the search looks at, and nothing else: the validation score at the epoch that `rule` picks."""
    if rule not in FAIR:
        raise ValueError(f"`selection` of a search must be one of {', '.join(FAIR)}, found {rule!r}.")
    if trial.run is None:
        return -math.inf
    run = trial.run
    return float(np.mean([score(run.epochs[index], "val", run.metrics) for index in RULES[rule](run)]))


def best(tried: Sequence[Trial], rule: str) -> Trial | None:
    """The trial with the best validation score, the first of equals; None where every trial failed."""
    finished = [trial for trial in sorted(tried, key=lambda t: t.number) if trial.run is not None]
    return max(finished, key=lambda trial: validation(trial, rule), default=None)


def check(trials: Sequence[Trial], rule: str) -> None:
    """Refuses a study that gave one method more than another, or picked a winner by anything but validation.

    Raises:
        ValueError: naming the method, what was promised and what was found.
    """
    tried = searched(trials)
    check_equal({method: [trial.declaration for trial in own] for method, own in tried.items()})
    for method, own in tried.items():
        if [trial.number for trial in own] != list(range(len(own))):
            raise ValueError(f"`trial` must count from 0 without gaps, found {[t.number for t in own]} of {method}.")
        for trial, other in zip(own, next(iter(tried.values())), strict=True):
            _check_terms(trial, other)
    judged: dict[str, set[int]] = {}
    for trial in trials:
        if trial.kind != "winner":
            continue
        winner = best(tried.get(trial.method, []), rule)
        if winner is None or trial.number != winner.number or trial.declaration != winner.declaration:
            wanted = "none" if winner is None else str(winner.number)
            raise ValueError(
                f"`winner` of {trial.method} must be the trial that is best on validation ({wanted}), found "
                f"{trial.number}."
            )
        if trial.seed == winner.seed:
            raise ValueError(f"`winner` must be judged on fresh seeds, found the search's seed {trial.seed} again.")
        judged.setdefault(trial.method, set()).add(trial.seed)
    for method, own in tried.items():
        seeds = set().union(*judged.values())
        if best(own, rule) is not None and judged.get(method, set()) != seeds:
            found = sorted(judged.get(method, ()))
            raise ValueError(f"`winner` of {method} must be judged on seeds {sorted(seeds)}, found {found}.")


def _check_terms(trial: Trial, other: Trial) -> None:
    """Trials of one number share data, scale, seed and every setting; trials of other numbers all but what is drawn."""
    for field in ("scale", "data_sha256", "seed"):
        if getattr(trial, field) != getattr(other, field):
            raise ValueError(f"`{field}` must be the same for {trial.method} and {other.method}, found it differs.")
    mine, theirs = (dict(t.declaration.get("settings", {})) for t in (trial, other))
    for name in sorted((set(mine) | set(theirs)) - {"network"}):
        if mine.get(name) != theirs.get(name):
            kind = "drawn alike" if name in SHARED else "the same"
            raise ValueError(
                f"`{name}` of trial {trial.number} must be {kind} for {trial.method} and {other.method}, found "
                f"{mine.get(name)} and {theirs.get(name)}."
            )
