"""The folder a run happens in: its dvc.lock made whole, or a copy of the tree for another scale."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml


def lock_is_cut(root: Path) -> bool:
    """Whether dvc.lock ends before its time. DVC itself notices only where the rest is no YAML or fits no schema."""
    lock = root / "dvc.lock"
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


def restore_lock(root: Path) -> None:
    """A kill at the wrong moment leaves dvc.lock cut off, and then DVC cannot be trusted: say so and take Git's."""
    lock = root / "dvc.lock"
    committed = subprocess.run(["git", "show", "HEAD:./dvc.lock"], cwd=root, capture_output=True)
    if committed.returncode == 0:
        print("warning: dvc.lock was cut off by a kill; restored from Git.", file=sys.stderr)
        lock.write_bytes(committed.stdout)
    else:
        print("warning: dvc.lock was cut off by a kill and Git has none; removed.", file=sys.stderr)
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
    generated = ("reports/", "dvc.lock", "README.md")
    tracked = {name for name in listed.split("\0") if name and (root / name).is_file()}
    wanted = {name for name in tracked if not name.startswith(generated)}
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
            if path.is_file() and "__pycache__" not in path.parts and str(path.relative_to(here)) not in wanted:
                path.unlink()
    for folder in ("reports/history", "reports/costs"):
        (here / folder).mkdir(parents=True, exist_ok=True)
    if not (here / "README.md").exists():
        shutil.copy(root / "README.md", here / "README.md")
    cache = root / ".dvc" / "cache"
    (here / ".dvc" / "config.local").write_text(f"[core]\n    no_scm = true\n[cache]\n    dir = {cache}\n")
    return here
