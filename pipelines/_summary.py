"""What `make repro` says at its end: where everything is, what it cost, and whether it reproduced."""

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pipelines._missing import Missing
from pipelines._params import Experiment, Params
from pipelines._problems import LONG
from pipelines._records import Records
from pipelines._regression import Moved, compare


def summary(
    root: Path, here: Path, params: Params, started: float, missing: Sequence[Missing], own: bool, seconds: float
) -> list[Moved]:
    """Prints where everything is, whether it reproduced, and last what was not rerun.

    Args:
        root: the checkout.
        here: the folder of the run.
        params: what was run.
        started: when the run began; what is younger in runs/ was trained in it.
        missing: the data sets that could not be had.
        own: whether the scale is the one whose report is committed.
        seconds: the run took.

    Returns:
        The numbers outside their bands.
    """
    trained = [(e, names) for e in params.experiments.values() if (names := _trained(here, e, started))]
    count = sum(len(names) for _, names in trained)
    print(f"\nscale {params.scale}: {len(params.experiments)} lines, {count} runs trained now, {seconds:.0f} s")
    if trained:
        print(_time_split(here, params, trained))
    for what, where in (
        ("report", "reports/index.html"), ("tables", "reports/tables"), ("figures", "reports/figures"),
    ):  # fmt: skip
        print(f"  {what:8} {here / where}")
    print(f"  {'tracker':8} make ui ({os.environ.get('MLFLOW_TRACKING_URI') or root / 'mlflow.db'})")
    skipped = {problem for one in missing for problem in one.problems}
    moved = _compared(root, here, params, skipped, own)
    if missing:
        lines = {name for one in missing for name in one.experiments}
        why = "; ".join(f"data set {one.dataset}: {', '.join(one.reasons)}" for one in missing)
        print(f"not rerun here: {len(lines)} experiments of {len(skipped)} problems ({why})")
    return moved


def _compared(root: Path, here: Path, params: Params, skipped: Set[str], own: bool) -> list[Moved]:
    """The numbers outside their bands, after saying how many lie within."""
    reference, source = _reference(root, params.scale, own)
    if reference is None:
        print(f"nothing to compare with: {source} holds no committed numbers at this scale.")
        return []
    fresh = json.loads((here / "reports/metrics.json").read_text(encoding="utf-8"))
    fresh, reference = (
        {name: entry for name, entry in side.items() if entry["problem"] not in skipped} for side in (fresh, reference)
    )
    compared, moved = compare(fresh, reference, params.regression)
    print(f"{compared - len(moved)} of {compared} numbers lie within their regression bands of {source}.")
    for one in moved[:20]:
        print(f"  outside: {one}")
    if len(moved) > 20:
        print(f"  and {len(moved) - 20} more")
    return moved


def _trained(here: Path, experiment: Experiment, started: float) -> list[str]:
    """The seeds of one line that were finished since."""
    found = (here / "runs" / experiment.name).glob("seed-*.json")
    return [path.stem.removeprefix("seed-") for path in found if path.stat().st_mtime >= started]


def _time_split(here: Path, params: Params, trained: Sequence[tuple[Experiment, Sequence[str]]]) -> str:
    """Processor seconds of training by problem, as the costs record them."""
    split: dict[str, float] = defaultdict(float)
    records = Records(here, params.scale)
    for experiment, seeds in trained:
        costs = json.loads(records.costs(experiment).read_text(encoding="utf-8"))
        split[experiment.problem] += sum(costs["seeds"][seed]["seconds"] for seed in seeds)
    return "  seconds  " + ", ".join(f"{problem} {spent:.0f}" for problem, spent in sorted(split.items()))


def _reference(root: Path, scale: str, own: bool) -> tuple[Mapping[str, Any] | None, str]:
    """The committed numbers of this scale, and where they are: HEAD's report, or the small record of another scale."""
    beside = scale in LONG and not own
    path = "reports/scales.json" if beside else "reports/metrics.json" if own else f"tests/regression/{scale}.json"
    shown = subprocess.run(["git", "show", f"HEAD:{path}"], cwd=root, capture_output=True)
    found = json.loads(shown.stdout) if shown.returncode == 0 else None
    if beside and found is not None:
        found = found.get(scale, {}).get("metrics.json")
    return found, f"HEAD:{path}"
