"""Where the numbers of one experiment come from: its history, commit, lock, data, machine and MLflow runs.

Reads and never writes. What a fresh clone does not have (MLflow's store) is said to be missing.
"""

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradsurgery.evidence.costs import parse as parse_costs
from gradsurgery.evidence.history import numbers_of, parse
from gradsurgery.evidence.strict import loads
from pipelines._files import about, read_text, read_yaml
from pipelines.evaluate import read_scale

Line = tuple[str, str]


def provenance(name: str, root: Path, scale: str | None = None) -> list[Line]:
    """History, commit, lock, data, machine and runs of one experiment, as pairs of a heading and a text; at the scale
    in force or another."""
    scale = scale or read_scale(root)
    path = next((found.relative_to(root) for found in kept(root, "history", f"{name}.jsonl", scale)), None)
    if path is None:
        return [("experiment", name), ("history", f"none: no {name}.jsonl in reports/history/{scale}")]
    remedy = f"restore it (`git checkout {path}`)"
    content = read_text(root / path, remedy)
    with about(path, remedy):
        runs = parse(content.splitlines(), str(path))
    first, seeds = runs[0], [run.seed for run in runs]
    return [
        ("experiment", f"{name}, scale {first.scale}, track {first.track}, seeds {', '.join(map(str, seeds))}"),
        ("history", str(path)),
        *_commit(root, path),
        *_run(root, name, content.splitlines(), scale),
        *(_lock(root, first.family) if scale == read_scale(root) else []),
        ("data", _data(first.data_sha256)),
        *_environment(root, name, scale),
        *_tracked(root, name),
    ]


def _data(found: str | Mapping[str, str]) -> str:
    return f"sha256 {found}" if isinstance(found, str) else "; ".join(f"{n} sha256 {v}" for n, v in found.items())


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except OSError:  # no Git on this machine
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _commit(root: Path, path: Path) -> list[Line]:
    last = _git(root, "log", "-1", "--format=%H of %cs: %s", "--", str(path))
    changed = " (the file differs from it now)" if _git(root, "status", "--porcelain", "--", str(path)) else ""
    return [("commit", f"{last}{changed}" if last else "not committed")]


def kept(root: Path, kind: str, name: str, scale: str | None = None) -> list[Path]:
    """What `train` left of one line: its history or its costs, at the scale in force or another."""
    return list((root / "reports" / kind / (scale or read_scale(root))).glob(f"*/{name}"))


def _made(root: Path, name: str, costs: Mapping[str, Any]) -> list[Line]:
    """The commit that brought the numbers, which later ones may have touched without a run."""
    hashes = [cost["numbers"] for cost in costs.get("seeds", {}).values() if cost.get("numbers")]
    pattern = f":(glob)reports/costs/**/{name}.json"
    found = _git(root, "log", "--reverse", "--format=%H of %cs: %s", f"-S{hashes[0]}", "--", pattern) if hashes else ""
    return [("recorded in", found.splitlines()[0])] if found else []


def _run(root: Path, name: str, lines: Sequence[str], scale: str) -> list[Line]:
    """What the numbers depend on, as it was recorded beside the costs, and whether they are still those."""
    costs = _costs(root, name, scale)
    written = {cost.get("numbers") for cost in costs.get("seeds", {}).values()}
    same = written == {numbers_of(loads(line)) for line in lines}
    return _made(root, name, costs) + [
        ("fingerprint", f"{key}: settings {parts['settings']}, data {parts['data']}, {len(parts['sources'])} sources")
        for key, parts in costs.get("fingerprints", {}).items()
    ] + [("", "as the history here" if same else "but the history here is another")]  # fmt: skip


def _lock(root: Path, family: str) -> list[Line]:
    """The stage that wrote the history, and what its lock says. Raises ValueError, naming it, for one that is not what
    DVC writes."""
    lock, remedy = Path("dvc.lock"), "restore it (`git checkout dvc.lock`)"
    try:
        stages = read_yaml(root / lock, remedy)["stages"] if (root / lock).exists() else {}
        stage = stages.get(f"train@{family}")
        inputs = {dep["path"]: dep["md5"] for dep in stage.get("deps", [])} if stage else {}
        command = stage["cmd"] if stage else ""
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{lock} must hold what DVC wrote, found {type(error).__name__} ({error}): {remedy}."
        ) from None
    if stage is None:
        return [("dvc.lock", f"no lock holds a stage train@{family}")]
    data = next((f"{dep}: md5 {value}" for dep, value in inputs.items() if "data/processed" in dep), "none")
    return [
        ("stage", f"train@{family} of dvc.yaml: {command}"),
        ("depends on", f"{len(inputs)} locked inputs; data {data}"),
    ]


def _costs(root: Path, name: str, scale: str) -> dict[str, Any]:
    """The costs of one line; empty where there are none."""
    remedy = f"run `python -m pipelines.train {name}`"
    for path in kept(root, "costs", f"{name}.json", scale):
        with about(path, remedy):
            return parse_costs(read_text(path, remedy), name)
    return {}


def _environment(root: Path, name: str, scale: str) -> list[Line]:
    found = _costs(root, name, scale).get("environment")
    said = ", ".join(f"{k} {v}" for k, v in sorted(found.items())) if found else "no record in reports/costs"
    return [("environment", said)]


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
