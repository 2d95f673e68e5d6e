"""Where the numbers of one experiment come from: its history, commit, lock, data, machine and MLflow runs.

Reads and never writes. What a fresh clone does not have (MLflow's store) is said to be missing.
"""

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from pipelines.report import read_json

Line = tuple[str, str]


def provenance(name: str, root: Path) -> list[Line]:
    """History, commit, lock, data, machine and runs of one experiment, as pairs of a heading and a text."""
    path = Path("reports/history") / f"{name}.jsonl"
    if not (root / path).exists():
        return [("experiment", name), ("history", f"none: no {path}")]
    content = (root / path).read_bytes()
    runs = [json.loads(line) for line in content.splitlines()]
    first, seeds = runs[0], [run["seed"] for run in runs]
    return [
        ("experiment", f"{name}, scale {first['scale']}, track {first['track']}, seeds {', '.join(map(str, seeds))}"),
        ("history", str(path)),
        *_commit(root, path),
        *_lock(root, name, first["problem"], path, hashlib.md5(content).hexdigest()),
        ("data", _data(first["data_sha256"])),
        *_environment(root, name),
        *_tracked(root, name),
    ]


def _data(found: str | Mapping[str, str]) -> str:
    return f"sha256 {found}" if isinstance(found, str) else "; ".join(f"{n} sha256 {v}" for n, v in found.items())


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def _commit(root: Path, path: Path) -> list[Line]:
    last = _git(root, "log", "-1", "--format=%H of %cs: %s", "--", str(path))
    changed = " (the file differs from it now)" if _git(root, "status", "--porcelain", "--", str(path)) else ""
    return [("commit", f"{last}{changed}" if last else "not committed")]


def _lock(root: Path, name: str, problem: str, path: Path, md5: str) -> list[Line]:
    """The stage that wrote the history, and whether its lock still says so."""
    for lock in (Path("pipelines") / problem / "dvc.lock", Path("dvc.lock")):
        if not (root / lock).exists():
            continue
        text = (root / lock).read_text(encoding="utf-8")
        stages = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)).get("stages") or {}
        key = name.removeprefix(f"{problem}-")
        stage = next((s for s in (f"train@{key}", f"sequel@{key}", f"train@{name}") if s in stages), None)
        if stage is None:
            continue
        locked = next((out["md5"] for out in stages[stage]["outs"] if out["path"].endswith(str(path))), None)
        same = "as the history here" if locked == md5 else f"but the history here has {md5}"
        inputs = {dep["path"]: dep["md5"] for dep in stages[stage].get("deps", [])}
        data = next((f"{dep}: md5 {value}" for dep, value in inputs.items() if "data/processed" in dep), "none")
        return [
            ("stage", f"{stage} of {lock.parent / 'dvc.yaml'}: {stages[stage]['cmd']}"),
            (str(lock.name), f"{lock}: history md5 {locked}, {same}"),
            ("depends on", f"{len(inputs)} locked inputs; data {data}"),
        ]
    return [("dvc.lock", f"no lock holds a stage of {name}")]


def _environment(root: Path, name: str) -> list[Line]:
    path = root / "reports/costs" / f"{name}.json"
    if not path.exists():
        return [("environment", "no record in reports/costs")]
    return [("environment", ", ".join(f"{k} {v}" for k, v in sorted(read_json(path)["environment"].items())))]


def _tracked(root: Path, name: str) -> list[Line]:
    """Its runs in MLflow, newest first; asking creates no store."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri and not (root / "mlflow.db").exists():
        return [("mlflow", "no store here (mlflow.db stays on the machine that trained)")]
    from pipelines._tracking import EXPERIMENT, store

    try:
        with contextlib.redirect_stderr(None):
            client = store(root.resolve())
            own = client.get_experiment_by_name(EXPERIMENT).experiment_id
            runs = client.search_runs([own], f"tags.experiment = '{name}'", order_by=["attributes.start_time DESC"])
    except Exception as error:  # whatever a tracker does wrong, the rest of the answer stands
        return [("mlflow", f"does not answer ({type(error).__name__})")]
    lines = [
        ("mlflow", f"run {r.info.run_id}, seed {r.data.tags.get('seed')}, {r.info.status.lower()}, at commit "
                   f"{r.data.tags.get('git_commit', 'unknown')}")
        for r in runs
    ]  # fmt: skip
    return lines or [("mlflow", "no run of this name in the store")]
