"""In what order runs are trained, and how long they will take."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradsurgery.core.discovery import find
from gradsurgery.evidence.costs import parse as parse_costs
from gradsurgery.ledger.protocol import Protocol
from pipelines._files import read_text
from pipelines._params import Experiment, Params
from pipelines._plan import Plan
from pipelines._protocol import check_runs
from pipelines._records import Records
from pipelines._sizes import trained_on
from pipelines._workspace import checkout, prepared

FILLERS = ("transform", "balancer", "rule", "aggregator")


class Schedule:
    """The order of one table at one scale.

    What a protocol registered comes first, in its order; the rest longest first, as that keeps all cores busy to the
    end. A line that others take their layer scores from is as early as they are, and they begin when it is whole.
    """

    def __init__(self, params: Params, records: Records, protocol: Protocol | None) -> None:
        self._records, self._protocol, self._scale = records, protocol, params.scale
        self._needed: dict[str, list[str]] = {}
        for line in params.experiments.values():
            if source := line.declaration.get("evidence"):
                self._needed.setdefault(source, []).append(line.name)

    def waves(self, experiments: Sequence[Experiment]) -> list[list[Experiment]]:
        """Lines that may be trained side by side, wave after wave."""
        kinds = [(registered, evidence) for registered in (True, False) for evidence in (False, True)]
        found = [
            [e for e in experiments if (self.registered(e), "evidence" in e.declaration) == kind] for kind in kinds
        ]
        return [wave for wave in found if wave]

    def registered(self, experiment: Experiment) -> bool:
        """Whether a confirmatory claim compares the line, or needs it for one that it does."""
        return self._turn(experiment, min(experiment.seeds)) is not None

    def key(self, experiment: Experiment, seed: int, seconds: float) -> tuple[Any, ...]:
        """What the runs of a wave are sorted by."""
        turn = self._turn(experiment, seed)
        return (0, *turn, experiment.name) if turn else (1, -seconds, experiment.name, seed)

    def _turn(self, experiment: Experiment, seed: int) -> tuple[int, int, int] | None:
        if self._protocol is None:
            return None
        names = [experiment.name, *self._needed.get(experiment.name, [])]
        return min(filter(None, (self._protocol.turn(name, seed, self._scale) for name in names)), default=None)

    def left(self, plan: Plan, experiments: Sequence[Experiment]) -> float:
        """Seconds, as far as known, of what is not there of some lines."""
        spent = [self.seconds(e, e.seeds[0]) * len(plan.missing(e)) for e in experiments]
        return sum(seconds for seconds in spent if math.isfinite(seconds))

    def seconds(self, experiment: Experiment, seed: int) -> float:
        """What a run took here, or what one of another scale took by as much more as there is to do; else endless."""
        scales = [p.name for p in sorted((self._records.root / "reports/costs").glob("*/"))]
        for scale in dict.fromkeys([self._scale, *scales]):
            other = Records(self._records.root, scale)
            try:
                seeds = parse_costs(read_text(other.costs(experiment), ""), experiment.name)["seeds"]
                spent = float(seeds.get(str(seed), next(iter(seeds.values())))["seconds"])
                return spent if scale == self._scale else spent * _more(experiment, other.history(experiment))
            except (ValueError, LookupError, TypeError, OSError):  # none, or damaged
                continue
        return math.inf


def _more(experiment: Experiment, history: Path) -> float:
    """How many times the work of another scale's run, its first in `history`, is to be done: epochs times examples."""
    with history.open(encoding="utf-8") as lines:
        first = json.loads(next(lines))
    share = len(first["tasks"]) if isinstance(first["test_rows"], dict) else 1  # sizes are those of one task
    now, then = (
        _work(experiment.problem, settings, share)
        for settings in (experiment.declaration["settings"], first["declaration"]["settings"])
    )
    return now / then


def _work(problem: str, settings: Mapping[str, Any], share: int) -> float:
    if "steps" in settings:  # a landscape
        return float(settings["steps"])
    if not (size := settings["train_size"]):  # all there are
        for split in trained_on(settings):
            if not (found := sorted(prepared(checkout(Path.cwd()), problem).glob(f"{split}_*.npy"))):
                raise ValueError("data that are not prepared cannot be counted")
            size += np.load(found[0], mmap_mode="r").shape[0] / share
    return float(settings["epochs"] * size * settings.get("passes", 1))


def check(params: Params, protocol: Protocol | None) -> None:
    """Refuses a table that lacks what the protocol registered at its scale, or that cripples it: a method under study
    whose parts are set otherwise than by default says where its authors do so."""
    if protocol is None:
        return
    check_runs(protocol, params.scale, {line.name: line.seeds for line in params.experiments.values()})
    for line in params.experiments.values():
        if line.role.kind == "study" and not line.source and protocol.asked(line.name, params.scale):
            common = params.problems[line.problem].parts
            if changed := [c for slot in FILLERS for c in _changed(slot, line.declaration[slot], common.get(slot, {}))]:
                raise ValueError(
                    f"`methods.{line.method}.source` must say where its authors set {', '.join(changed)}, as a "
                    "registered line; found none."
                )


def _changed(slot: str, filler: Mapping[str, Any], common: Mapping[str, Any]) -> list[str]:
    """Fields of a part that its line sets, neither to their default nor to what all lines of the problem have."""
    fields = {field.name: field.default for field in dataclasses.fields(find(f"{slot}s", filler["name"]))}
    return [
        f"{name} = {value}" for name, value in filler.items()
        if name != "name" and fields[name] is not dataclasses.MISSING and value not in (fields[name], common.get(name))
    ]  # fmt: skip
