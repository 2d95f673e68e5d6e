"""`dvc repro` in a folder of its own, and a summary: what `make repro` runs.

Everything happens in workspaces/<scale>/, a copy of the tree that shares DVC's cache, so that no file that Git knows is
touched, whenever the run is interrupted. `--record` puts a complete run's results into the checkout. A data set that
cannot be had costs its own problems and no others: they keep their committed numbers, marked in the report, and the
summary ends with them. A plain `dvc repro` in the checkout trains what is stale there, in place, as fast.

At a scale of hours (overnight, paper) committed runs count as run here, as with `--changed`: whoever clones goes on
from them. What protocol.yaml registered is trained first, whatever its family; `--record` and `--partial` put finished
runs into the checkout, the latter at once and without training, also while another process trains.

Examples:
    python -m pipelines.repro                 at the scale of params.yaml
    python -m pipelines.repro --scale smoke   every line end to end in minutes
    python -m pipelines.repro --changed       only the runs that an edit made stale since they were committed
    python -m pipelines.repro --record        the same again, and the results into reports/ and dvc.lock here
    python -m pipelines.repro --scale overnight --partial    what is finished of it by now, into reports/ here
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from pipelines import _cluster, _missing, deviations
from pipelines._device import asked_device
from pipelines._jobs import refuse_ranks
from pipelines._knock import mirror_folder
from pipelines._params import CHECKED, SCALES, complain, load, sha256_of
from pipelines._pool import places_on
from pipelines._problems import LONG
from pipelines._records import keep
from pipelines._sources import MIRROR
from pipelines._store import uri
from pipelines._summary import summary
from pipelines._watchdog import DRIVER, signature
from pipelines._workspace import workspace

ROOT = Path(__file__).resolve().parents[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when all that can be had is up to date at the end, 2 for a wrong input, 1 when a stage failed."""
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    started, clock = time.monotonic(), time.time()
    try:
        refuse_ranks()
        committed = load(ROOT / "params.yaml")
        scale = arguments.scale or committed.scale
        if not arguments.cluster:
            places_on(asked_device(None, committed.compute, scale), arguments.jobs, arguments.per_gpu)
        if arguments.partial:
            if scale not in LONG:
                raise ValueError(f"`--partial` must stand with a scale of {' or '.join(LONG)}, found {scale}.")
            print(keep(ROOT / "workspaces" / scale, ROOT, load(ROOT / "params.yaml", scale)))
            return 0
        if arguments.record:
            deviations.keep(ROOT)
        mirror = mirror_folder()
        here = workspace(ROOT, scale, trust=arguments.changed or scale in LONG)
        params = committed if scale == committed.scale else load(here / "params.yaml")
        if _missing.read(here) or _missing.uninstalled(params.datasets):
            (here / _missing.SKIPPED).unlink(missing_ok=True)  # so that `fetch` asks again
        environment = _environment(here, mirror, arguments)
        steps = [["dvc", "repro", "prepare"], [sys.executable, "-m", "pipelines.train"]] if scale in LONG else []
        code = next(filter(None, (_run(here, environment, step) for step in [*steps, ["dvc", "repro"]])), 0)
    except ValueError as error:
        return complain(error)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where this one was.", file=sys.stderr)
        return 130
    missing = _missing.read(here)
    if code:
        print(f"error: `dvc repro` failed with exit code {code}; the reason is above.", file=sys.stderr)
        return 1
    own = scale == committed.scale
    outside = summary(ROOT, here, params, clock, missing, own, time.monotonic() - started)
    if arguments.record and scale in LONG and not own:
        print(keep(here, ROOT, params))
    elif arguments.record and missing:
        names = ", ".join(one.dataset for one in missing)
        print(f"error: `--record` needs a complete run, found none of the data set {names}.", file=sys.stderr)
        return 1
    elif arguments.record:
        from pipelines._publish import publish, record  # brings what draws figures: seconds

        print(publish(here, ROOT, scale) if own else record(here, ROOT, scale))
    return 1 if arguments.strict and outside else 0


def _run(here: Path, environment: Mapping[str, str], command: Sequence[str]) -> int:
    """A command in a session of its own, so that an interrupt ends it with all that it started; its exit code."""
    process = subprocess.Popen(command, cwd=here, env=environment, start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        _end(process)
        raise


def _end(process: "subprocess.Popen[Any]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)  # DVC leaves its locks in order on this one
    _, stubborn = psutil.wait_procs([psutil.Process(process.pid)] if process.poll() is None else [], 10)
    if stubborn:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _environment(here: Path, mirror: Path | None, arguments: argparse.Namespace) -> dict[str, str]:
    """What DVC hands on to the stages."""
    asked = {
        "GRADSURGERY_JOBS": arguments.jobs, "GRADSURGERY_PER_GPU": arguments.per_gpu,
        _cluster.VARIABLE: arguments.cluster,
        _missing.REQUIRED: "1" if arguments.require_data else None,
        MIRROR: None if mirror is None else str(mirror),  # whole: stages run in another folder
    }  # fmt: skip
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # the sources of this folder, not those of the checkout that the package was installed from
        "PYTHONPATH": str(here / "src"),
        CHECKED: sha256_of(here / "params.yaml"),
        DRIVER: signature(),
        "MLFLOW_TRACKING_URI": uri(ROOT),
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "true",
        "MPLBACKEND": "Agg",
        **{name: value for name, value in asked.items() if value is not None},
    }


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.repro", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", choices=SCALES, help="default: the scale in params.yaml")
    parser.add_argument("--jobs", help="runs at once (default: one per core, or as --per-gpu says)")
    parser.add_argument("--per-gpu", help="runs at once on every GPU, with GRADSURGERY_DEVICE=cuda (default: 1)")
    parser.add_argument("--cluster", help="address of a Dask scheduler, whose workers train: docs/paper_scale.md")
    parser.add_argument("--changed", action="store_true", help="train only what is stale against the committed runs, "
                        "not all that was not trained in the workspace")  # fmt: skip
    parser.add_argument("--require-data", action="store_true", help="exit code 1 when a data set cannot be had")
    parser.add_argument("--record", action="store_true", help="keep a complete run's results in the checkout, for a "
                        "commit (of another scale than that of params.yaml: its numbers)")  # fmt: skip
    parser.add_argument("--partial", action="store_true", help="train nothing: keep what is finished by now in the "
                        "checkout, for a commit (of a scale of hours)")  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a number lies outside its band")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
