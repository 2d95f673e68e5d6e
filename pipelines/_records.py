"""What Git keeps of finished runs: a history and costs for each line, and in the costs every run's fingerprint.

reports/history/<scale>/<family>/<line>.jsonl and reports/costs/<scale>/<family>/<line>.json. A run is there when its
fingerprint is, and its history is still what was written under it; runs/ and its checkpoints need not exist.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradsurgery.evidence.costs import parse as parse_costs
from gradsurgery.evidence.history import numbers_of
from gradsurgery.evidence.strict import loads
from pipelines._checkpoints import Result
from pipelines._files import as_json, read_text, replace
from pipelines._fingerprint import Parts
from pipelines._params import Experiment, Params
from pipelines._run import labels


@dataclasses.dataclass(frozen=True)
class Record:
    """One run as it was kept. `fingerprint` and `parts` are empty where none were recorded."""

    line: Mapping[str, Any]
    cost: Mapping[str, Any]
    environment: Mapping[str, Any]
    fingerprint: str
    parts: Parts


class Records:
    """Those of one scale under one folder."""

    def __init__(self, root: Path, scale: str) -> None:
        self.root, self.scale = root, scale

    def history(self, experiment: Experiment) -> Path:
        return self.root / "reports/history" / self.scale / experiment.family / f"{experiment.name}.jsonl"

    def costs(self, experiment: Experiment) -> Path:
        return self.root / "reports/costs" / self.scale / experiment.family / f"{experiment.name}.json"

    def read(self, experiment: Experiment) -> dict[int, Record]:
        """The runs of one line by seed. What is missing, cut or changed since is left out, and said if it is there."""
        found: dict[int, Record] = {}
        if not self.history(experiment).exists():
            return found
        try:
            costs = parse_costs(read_text(self.costs(experiment), "made again"), experiment.name)
            known = costs.get("fingerprints", {})
            for text in read_text(self.history(experiment), "made again").splitlines():
                line = loads(text)
                cost = dict(costs["seeds"][str(line["seed"])])
                fingerprint, numbers = cost.pop("fingerprint", ""), cost.pop("numbers", "")
                if fingerprint and numbers != numbers_of(line):
                    raise ValueError(f"seed {line['seed']} is not what was written")
                parts = known[fingerprint] if fingerprint else {}
                found[line["seed"]] = Record(line, cost, costs["environment"], fingerprint, parts)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            said = str(error).removesuffix(": made again.").rstrip(".")
            print(f"warning: {self.history(experiment)} and its costs do not go together ({said}): made again.",
                  file=sys.stderr)  # fmt: skip
            return {}
        return found

    def write(self, experiment: Experiment, runs: Mapping[int, Record]) -> None:
        """History and costs of all seeds; the costs last, as their fingerprints are what says that all is there."""
        lines = {seed: {**runs[seed].line, **labels(experiment)} for seed in sorted(runs)}
        own = {
            str(seed): {**run.cost, "fingerprint": run.fingerprint, "numbers": numbers_of(run.line)}
            for seed, run in runs.items()
        }
        costs = {
            "experiment": experiment.name,
            "environment": runs[min(runs)].environment,
            "seeds": own,
            "fingerprints": {run.fingerprint: run.parts for run in runs.values()},
        }
        replace(self.history(experiment), "\n".join(map(as_json, lines.values())))
        replace(self.costs(experiment), json.dumps(costs, indent=1, sort_keys=True, allow_nan=False))


def kept(result: Result, fingerprint: str, parts: Parts) -> Record:
    """What a run has just left in runs/, as a record."""
    return Record(result["history"], result["cost"], result["environment"], fingerprint, parts)


def keep(here: Path, root: Path, params: Params) -> str:
    """Puts the finished runs of one scale from a workspace beside those that the checkout has; says what to do next."""
    theirs, ours, count = Records(here, params.scale), Records(root, params.scale), 0
    for line in params.experiments.values():
        made = {seed: run for seed, run in theirs.read(line).items() if run.fingerprint and seed in line.seeds}
        if made:
            same = {run.fingerprint for run in made.values()}
            both = {s: run for s, run in ours.read(line).items() if run.fingerprint in same} | made
            ours.write(line, both)
            count += len(both)
    whole = sum(len(line.seeds) for line in params.experiments.values())
    folders = f"reports/history/{params.scale} and reports/costs/{params.scale}"
    return (
        f"recorded {count} of {whole} runs in {folders}: commit them; `make repro ARGS='--changed --record'` then "
        "makes the report"
    )
