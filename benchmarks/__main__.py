"""Time per step, time of aggregation alone and peak memory, ours against the peers, and which targets hold.

  python -m benchmarks                      quick: about four minutes, fewer cases and rounds
  python -m benchmarks --full               every case, up to K = 40 on ResNet-18; twenty minutes or more
  python -m benchmarks --only aggregation   one of step_time, aggregation, memory
  python -m benchmarks --case lenet --tasks 2 10   these alone
  python -m benchmarks --libmtl PATH        with LibMTL, from its unpacked sdist (it is never installed):
                                            pip download --no-deps --no-binary :all: LibMTL==1.1.5, then tar xzf

TorchJD takes part where it is installed (pip install -e '.[peers]'). Variants run interleaved in one process and ratios
are medians of ratios within a round, so that a busy machine blurs the figures but does not favour anyone; CPU time and
wall time are both shown. Results go to benchmarks/results/<part>-<quick|full>.json with the machine they were taken on.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks import aggregation, memory, peers, step_time, targets
from benchmarks.cases import CASES, TASKS
from benchmarks.measure import environment

PARTS = ("step_time", "aggregation", "memory")
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="every case and more rounds")
    parser.add_argument("--only", choices=PARTS, help="one part instead of all three")
    parser.add_argument("--case", nargs="+", choices=list(CASES), help="networks (default: as the mode says)")
    parser.add_argument(
        "--tasks", nargs="+", type=int, metavar="K", help="numbers of tasks (default: as the mode says)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="torch's threads (default 1: what training uses per seed)"
    )
    parser.add_argument("--seconds", type=float, help="time per case and number of tasks (default 5, with --full 20)")
    parser.add_argument("--libmtl", type=Path, metavar="PATH", help="folder of an unpacked LibMTL sdist")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON files")
    chosen = parser.parse_args()
    if chosen.libmtl and peers.libmtl_missing(chosen.libmtl):
        parser.error(f"`--libmtl` must be an unpacked LibMTL sdist, found no LibMTL/weighting in {chosen.libmtl}.")
    torch.set_num_threads(chosen.threads)
    mode, seconds = "full" if chosen.full else "quick", chosen.seconds or (20.0 if chosen.full else 5.0)
    machine = environment()
    print(", ".join(f"{k} {v}" for k, v in machine.items()))
    for missing in (peers.torchjd_missing(), peers.libmtl_missing(chosen.libmtl)):
        if missing:
            print(f"Left out: {missing}")

    found: dict[str, list[Any]] = {part: [] for part in PARTS}
    for part in [chosen.only] if chosen.only else PARTS:
        if part == "step_time":
            plan = {name: TASKS if chosen.full else case.quick_tasks for name, case in CASES.items()}
            found[part] = step_time.run(_narrow(plan, chosen), seconds, chosen.libmtl)
        elif part == "aggregation":
            found[part] = aggregation.run(chosen.tasks or TASKS, seconds, chosen.libmtl)
        else:
            plan = memory.FULL if chosen.full else memory.QUICK
            found[part] = memory.run(_narrow(plan, chosen), not chosen.full, chosen.libmtl)
        chosen.out.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {"mode": mode, "environment": machine, "rows": [asdict(row) for row in found[part]]}
        if part == "aggregation":
            record["earlier"] = aggregation.EARLIER
        (chosen.out / f"{part}-{mode}.json").write_text(lines(record), encoding="utf-8")

    print("\nTargets")
    for line in targets.judge(found["step_time"], found["aggregation"], found["memory"]):
        print(f"  {line}")
    return 0


def _narrow(plan: Mapping[str, tuple[int, ...]], chosen: argparse.Namespace) -> dict[str, Sequence[int]]:
    cases = chosen.case or list(plan)
    return {case: chosen.tasks or plan.get(case, TASKS) for case in cases}


def lines(record: dict[str, Any]) -> str:
    """JSON with one row per line, so that a diff shows which row moved."""
    head = {k: v for k, v in record.items() if k != "rows"}
    rows = ",\n    ".join(json.dumps(row) for row in record["rows"])
    return json.dumps(head, indent=2)[:-2] + f',\n  "rows": [\n    {rows}\n  ]\n}}\n'


if __name__ == "__main__":
    sys.exit(main())
