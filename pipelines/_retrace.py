"""Trains experiments for one seed each, with whatever sources this process imports, and prints their histories.

What `pipelines.unchanged` starts once with the code of a named revision and once with today's. It leans on nothing but
`load`, `build_learner` and `history`, which both must have; nothing is checkpointed and nothing is written.

Reads [{"experiment", "params", "data", "evidence"}, ...] from standard input, `params` being a params.yaml at the
wanted scale, and prints one line of JSON for each as it finishes: the history, or why there is none.
"""

import inspect
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from gradsurgery.experiment import build_learner, evidence_of, history
from pipelines._params import Experiment, Params, load

_loaded: dict[str, Params] = {}


def main() -> None:
    tasks = json.load(sys.stdin)
    for path in {task["params"] for task in tasks}:  # before the fork: checking a file takes seconds
        _loaded[path] = load(Path(path))
    _end_with_parent()
    with ProcessPoolExecutor(int(sys.argv[1]), initializer=_end_with_parent) as pool:
        for future in as_completed([pool.submit(_traced, task) for task in tasks]):
            print(future.result(), flush=True)
    os._exit(0)  # nothing is left to be saved


def _end_with_parent() -> None:
    """Ends this process soon after the one that started it; here again, as an earlier revision may lack it."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(143)

    threading.Thread(target=watch, daemon=True).start()


def _traced(task: Mapping[str, str]) -> str:
    answer: dict[str, Any] = {"params": task["params"], "experiment": task["experiment"]}
    try:
        experiment = _loaded[task["params"]].experiments[task["experiment"]]
        answer["history"] = _trained(experiment, Path(task["data"]), Path(task["evidence"]))
    except (ValueError, KeyError, OSError) as error:
        answer["failed"] = f"{type(error).__name__}: {error}"
    return json.dumps(answer)


def _trained(experiment: Experiment, data: Path, evidence: Path) -> dict[str, Any]:
    arrays = {f.stem: np.load(f, mmap_mode="r") for f in sorted((data / experiment.problem).glob("*.npy"))}
    found = None
    if source := experiment.declaration.get("evidence"):
        lines = next(evidence.rglob(f"{source}.jsonl")).read_text(encoding="utf-8").splitlines()
        found = evidence_of([json.loads(line) for line in lines])
    learner = build_learner(experiment.declaration, arrays, experiment.seeds[0], evidence=found)
    while len(learner.epochs) < learner.problem.epochs:
        learner.epoch()
    # labels are not compared, and an earlier revision asks for fewer of them
    labels: dict[str, Any] = {"scale": "", "track": "", "role": {}, "family": "", "data_sha256": ""}
    asked = inspect.signature(history).parameters
    return history(
        learner, experiment.declaration, experiment=experiment.name, seed=experiment.seeds[0],
        **{name: label for name, label in labels.items() if name in asked},
    )  # fmt: skip


if __name__ == "__main__":
    main()
