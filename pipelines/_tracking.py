"""The only module that imports MLflow. Training hands events over and goes on; somebody else sends them.

A tracker that is slow, read-only or unreachable costs one warning and nothing else: the first failure drops the rest,
and a process waits only a bounded time for what is still to be sent. Nothing ever reads back from MLflow: it receives
what `reports/history` receives. The default store is `mlflow.db` (SQLite) in the repository's root, with artifacts in
`mlartifacts/`; `MLFLOW_TRACKING_URI` names another.

Who sends: one thread of the process that shares out the runs, which otherwise only waits.

    python -m pipelines._tracking    creates the store, once, before anything runs in parallel
"""

import argparse
import functools
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipelines._store import file_of, uri
from pipelines._view import KEY, TAG, state

EXPERIMENT = "gradsurgery"
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # An unreachable server must be given up within seconds; MLflow's own defaults try for several minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
PATIENCE = 30.0  # seconds a finished process waits for its last events to be sent


class Tracker:
    """What training talks to. Every method but `close` returns at once, and none raises: a thread makes the calls, and
    the first that fails is the last that is tried."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._client: Any = None
        self._ids: dict[tuple[str, int], str] = {}
        self._calls: queue.Queue[Callable[[], object] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True, name="tracker")
        self._thread.start()

    def begin(self, experiment: str, seed: int, tags: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
        """Opens the flat run of one seed, or goes on with the one that an interrupted process left open."""
        self._put(self._begin, experiment, seed, dict(tags), flatten(parameters))

    def log(self, experiment: str, seed: int, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Metrics by step; all rows go in one batch."""
        self._put(self._log, experiment, seed, [(name, v, step) for step, row in rows for name, v in row.items()])

    def end(self, experiment: str, seed: int, artifacts: Mapping[str, Any]) -> None:
        """Closes the run with its artifacts, each a JSON document under its file name."""
        self._put(self._end, experiment, seed, dict(artifacts))

    def close(self, patience: float = PATIENCE) -> None:
        """Waits until everything is sent, but no longer than `patience` seconds."""
        self._calls.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            warn(f"it took more than {patience:g} s")

    def _put(self, call: Callable[..., None], experiment: str, seed: int, *content: Any) -> None:
        now = int(time.time() * 1000)  # here, as what is sent late must not look as if it had been short
        self._calls.put(functools.partial(call, now, (experiment, seed), *content))

    def _work(self) -> None:
        try:
            while (call := self._calls.get()) is not None:
                self._client = self._client or store(self._root)
                call()
        except Exception as error:  # whatever a tracker does wrong, training goes on
            warn(f"{type(error).__name__}: {error}")

    def _begin(self, now: int, key: tuple[str, int], tags: dict[str, str], parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        experiment, seed = key
        own = self._client.get_experiment_by_name(EXPERIMENT).experiment_id
        where = (
            f"tags.experiment = '{experiment}' and tags.seed = '{seed}' and tags.fingerprint = '{tags['fingerprint']}'"
        )
        left_open = self._client.search_runs([own], f"{where} and attributes.status = 'RUNNING'", max_results=1)
        if left_open:
            self._ids[key] = left_open[0].info.run_id
            return
        tags |= {"experiment": experiment, "seed": str(seed), "git_commit": commit(self._root)}
        run = self._client.create_run(own, start_time=now, run_name=f"{experiment} seed {seed}", tags=tags)
        self._ids[key] = run.info.run_id
        self._client.log_batch(self._ids[key], params=[Param(name, str(value)) for name, value in parameters.items()])

    def _log(self, now: int, key: tuple[str, int], values: Sequence[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(name, float(value), now, step) for name, value, step in values]
        for start in range(0, len(metrics), 1000):  # MLflow's limit for one batch
            self._client.log_batch(self._ids[key], metrics=metrics[start : start + 1000])

    def _end(self, now: int, key: tuple[str, int], artifacts: Mapping[str, Any]) -> None:
        for name, document in artifacts.items():
            self._client.log_text(self._ids[key], json.dumps(document, indent=1, sort_keys=True) + "\n", name)
        self._client.set_terminated(self._ids[key], end_time=now)


def store(root: Path) -> Any:
    """A client of the tracking store, which is created first where there is none.

    The lock keeps two processes from creating one SQLite store at once: MLflow's migrations would both fail.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    address = uri(root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient
    for noisy in ("alembic", "mlflow"):  # importing MLflow has just set both to report every migration
        logging.getLogger(noisy).setLevel(logging.ERROR)
    if not address.startswith("sqlite:///"):
        return _with_experiment(MlflowClient(address), None)
    database = file_of(address)
    with FileLock(f"{database}.lock"):
        return _with_experiment(MlflowClient(address), (database.parent / "mlartifacts").resolve().as_uri())


def _with_experiment(client: Any, artifacts: str | None) -> Any:
    if client.get_experiment_by_name(EXPERIMENT) is None:
        client.create_experiment(EXPERIMENT, artifact_location=artifacts)
    known = client.get_experiment_by_name(EXPERIMENT)
    if known.tags.get(TAG) != (view := state()):
        client.set_experiment_tag(known.experiment_id, TAG, view)
    return client


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested blocks as `outer.inner` names, which is how MLflow shows parameters."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


@functools.cache
def commit(root: Path) -> str:
    """The commit checked out, with a mark when the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.strip() or "unknown"
    except OSError:
        return "unknown"  # no Git on this machine


def warn(reason: str) -> None:
    """The one warning; a reason of several lines is cut to its first."""
    first = reason.strip().splitlines()[0][:200]
    print(f"warning: the tracker does not answer, training goes on without it ({first})", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 in any case: a tracker that cannot be had must not keep anybody from training."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines._tracking",
        description="Creates the tracking store (mlflow.db here, or MLFLOW_TRACKING_URI) unless it exists, and says "
        "where `make ui` shows its runs.",
    )
    parser.add_argument("--uri", action="store_true", help="print the store's address and do nothing")
    arguments = parser.parse_args(argv)
    if arguments.uri:
        print(uri(Path.cwd()))
        return 0
    try:
        own = store(Path.cwd()).get_experiment_by_name(EXPERIMENT).experiment_id
        # MLflow 3 opens on a page for language models; the runs are a click on "Model training" away
        page = f"http://127.0.0.1:5000/#/experiments/{own}/runs?viewStateShareKey={KEY}"
        print(f"the table of runs: {page}\ntheir curves:      {page}&compareRunsMode=CHART")
    except Exception as error:
        warn(f"{type(error).__name__}: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
