"""The folder a run happens in: its DVC locks made whole, or a copy of the tree for another scale."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml


def cut_locks(root: Path) -> list[Path]:
    """The locks that end before their time. DVC itself notices only where the rest is no YAML or fits no schema."""
    return [lock for lock in (root / "dvc.lock", *sorted(root.glob("pipelines/*/dvc.lock"))) if _is_cut(lock)]


def _is_cut(lock: Path) -> bool:
    if not lock.exists():
        return False
    text = lock.read_text(encoding="utf-8")
    try:
        stages = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"].values()
        whole = all(
            stage["cmd"] and all({"path", "md5", "size"} <= set(out) for out in stage["outs"]) for stage in stages
        )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return True
    return not whole or not text.endswith("\n")


def restore_lock(root: Path, lock: Path) -> None:
    """A kill at the wrong moment leaves a lock cut off, and then DVC cannot be trusted: say so and take Git's."""
    name = lock.relative_to(root).as_posix()
    committed = subprocess.run(["git", "show", f"HEAD:./{name}"], cwd=root, capture_output=True)
    if committed.returncode == 0:
        print(f"warning: {name} was cut off by a kill; restored from Git.", file=sys.stderr)
        lock.write_bytes(committed.stdout)
    else:
        print(f"warning: {name} was cut off by a kill and Git has none; removed.", file=sys.stderr)
        lock.unlink()


def workspace(root: Path, scale: str) -> Path:
    """workspaces/<scale>/: the tree as it is here, `scale` replaced, results of its own, DVC's cache shared."""
    here = root / "workspaces" / scale
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout.decode()
    tracked = {name for name in listed.split("\0") if name and (root / name).is_file()}
    generated = {name for name in tracked if name.startswith("reports/") or name.endswith("dvc.lock")} | {"README.md"}
    wanted = tracked - generated
    for name in wanted:
        content = (root / name).read_bytes()
        if name == "params.yaml":
            content = re.sub(rb"(?m)^scale: \w+", f"scale: {scale}".encode(), content, count=1)
        if not (here / name).is_file() or (here / name).read_bytes() != content:
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            (here / name).write_bytes(content)
            shutil.copymode(root / name, here / name)
    for kept in ("src", "pipelines", "data/published"):  # a file deleted here must not live on there
        for path in sorted((here / kept).rglob("*")):
            if (
                path.is_file()
                and path.name != "dvc.lock"
                and "__pycache__" not in path.parts
                and str(path.relative_to(here)) not in wanted
            ):
                path.unlink()
    for folder in ("reports/history", "reports/costs", "reports/study"):
        (here / folder).mkdir(parents=True, exist_ok=True)
    if not (here / "README.md").exists():
        shutil.copy(root / "README.md", here / "README.md")
    cache = root / ".dvc" / "cache"
    (here / ".dvc" / "config.local").write_text(f"[core]\n    no_scm = true\n[cache]\n    dir = {cache}\n")
    return here
