"""What a run must keep to stand in the controlled table: equal seeds, epochs, settings, clipping, data and selection.

Read from the histories alone, so that a flattering change is caught wherever it was made: in params.yaml, in a
selection rule, or in a history itself. A line of another track ("as-published", "reference") may do as it likes; it is
shown, and never compared as an equal.

Departures:
    1. Networks are not compared: on some problems the network is the method (Census), and Recon makes its own. Equal
       capacity is the business of the problem's own tests.
    2. What a method does to its own direction is the method, a clip included (SAM-GS's): it runs as its authors run it
       on data. A control gives the same clip to the sum.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gradsurgery.evidence.history import Run
from gradsurgery.evidence.selection import FAIR

TRACK = "controlled"
REFERENCE = "reference"  # on another budget than its problem: shown, and never beside what is compared

# What a line may set for itself without changing what is trained.
_OBSERVING = ("diagnose_every", "score_layers", "observe_layers", "half_batches")
_OF_THE_METHOD = ("gradients", "keep_weights")  # how it comes by its weights


def check_line(declaration: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuses a controlled line that changes its problem's settings, before anything is run.

    Args:
        declaration: what `gradsurgery.experiment.build_learner` takes, with the line's own settings in it.
        settings: those of its problem, without a network.

    Raises:
        ValueError: naming the setting, what the problem has and what the line has.
    """
    for reason in _settings(declaration, settings):
        raise ValueError(f"`track` must not be '{TRACK}' for a line that {reason}.")


def violations(members: Mapping[str, Sequence[Run]], rule: str, baseline: str) -> dict[str, list[str]]:
    """Why experiments of one problem may not enter its controlled table; those that may are left out.

    Args:
        members: the problem's runs by experiment.
        rule: the selection rule that they are judged by.
        baseline: the experiment that all are held against.
    """
    controlled = {name: group for name, group in members.items() if group[0].track == TRACK}
    if not controlled:
        return {}
    standard = controlled.get(baseline, next(iter(controlled.values())))[0]
    held = Counter(run.seed for group in controlled.values() for run in group)
    seeds = {seed for seed, count in held.items() if 2 * count >= len(controlled)}  # one line's surplus asks nobody
    reasons = {name: _reasons(group, standard, seeds, rule) for name, group in controlled.items()}
    return {name: found for name, found in reasons.items() if found}


def _reasons(group: Sequence[Run], standard: Run, seeds: set[int], rule: str) -> list[str]:
    found = []
    if rule not in FAIR:
        found.append(f"is judged by {rule}, which looks at the test set")
    if missing := sorted(seeds - {run.seed for run in group}):
        found.append(f"lacks seed {', '.join(map(str, missing))}, which others of the problem have")
    for run in group:
        found += _settings(run.declaration, standard.declaration.get("settings", {}))
        found += _identity(run, standard)
    return list(dict.fromkeys(found))


def _identity(run: Run, standard: Run) -> list[str]:
    found = []
    for field in ("scale", "data_sha256"):
        mine, theirs = getattr(run, field), getattr(standard, field)
        if mine != theirs:
            shown = "" if field == "data_sha256" else f" ({mine}, not {theirs})"
            found.append(f"has another {field.replace('_sha256', '')}{shown}")
    learner, common = (r.declaration.get("learner", {}) for r in (run, standard))
    for name in sorted((set(learner) | set(common)) - {*_OBSERVING, *_OF_THE_METHOD}):
        if learner.get(name) != common.get(name):
            found.append(f"sets {name} to {learner.get(name)} where the problem has {common.get(name)}")
    epochs = run.declaration.get("settings", {}).get("epochs", len(run.epochs))
    if [row.get("epoch") for row in run.epochs] != list(range(1, epochs + 1)):
        found.append(f"does not hold every epoch from 1 to {epochs}")
    return found


def _settings(declaration: Mapping[str, Any], standard: Mapping[str, Any]) -> list[str]:
    mine = declaration.get("settings", {})
    names = sorted((set(mine) | set(standard)) - {"network"})
    return [
        f"sets {name} to {mine.get(name)} where the problem has {standard.get(name)}"
        for name in names
        if mine.get(name) != standard.get(name)
    ]
