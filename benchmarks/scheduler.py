"""What a Dask scheduler takes for a run: a thousand of them, simulated, on more and more workers.

  python -m benchmarks.scheduler                        1,000 runs of 20 ms on 1, 2, 4 and 8 workers of this machine
  python -m benchmarks.scheduler --runs 100 --workers 2

A simulated run sleeps and returns as many bytes as the history of a long run has; what else it takes is the overhead of
sending, scheduling and bringing back, which is what `make repro ARGS="--cluster .."` adds to the seconds or days of a
real one. Workers are processes of one thread each. Results go to benchmarks/results/scheduler.json.
"""

import argparse
import json
import time
from pathlib import Path

from distributed import Client, LocalCluster, as_completed

from benchmarks.measure import environment

OUT = Path(__file__).parent / "results/scheduler.json"
HISTORY = 300_000  # bytes


def run(number: int, seconds: float) -> bytes:
    """One simulated run."""
    time.sleep(seconds)
    return number.to_bytes(4, "little") * (HISTORY // 4)


def measured(workers: int, runs: int, seconds: float) -> dict[str, float]:
    """Wall seconds of all runs, what each of them took beyond its share of sleep, and runs in a second."""
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        began = time.perf_counter()
        futures = [client.submit(run, number, seconds, priority=-number, pure=False) for number in range(runs)]
        brought = 0
        for future, result in as_completed(futures, loop=client.loop, with_results=True):
            brought += len(result)
            future.release()  # a worker keeps a result for as long as somebody may ask for it
        wall = time.perf_counter() - began
    assert brought == runs * HISTORY
    return {
        "workers": workers, "seconds": round(wall, 3), "runs_per_second": round(runs / wall, 1),
        "overhead_ms_per_run": round(1000 * (wall - runs * seconds / workers) / runs, 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scheduler", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--milliseconds", type=float, default=20.0, help="what a run sleeps")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    asked = parser.parse_args()
    rows = [measured(count, asked.runs, asked.milliseconds / 1000) for count in asked.workers]
    for row in rows:
        print(", ".join(f"{name} {value:g}" for name, value in row.items()))
    found = {
        "runs": asked.runs,
        "milliseconds": asked.milliseconds,
        "bytes": HISTORY,
        "machine": environment(),
        "rows": rows,
    }
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
