"""The folder a run happens in: a copy of the tree, so that nothing that Git knows is touched before it is whole."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from pipelines._files import write
from pipelines._protocol import LISTED

_MADE = ("src", "pipelines", "data/published")  # a file deleted in the checkout must not live on there
_SHARED = ("data/raw", "data/processed")


def checkout(here: Path) -> Path:
    """The checkout that a folder is, or is a workspace of."""
    return here.parents[1] if here.parent.name == "workspaces" else here


def workspace(root: Path, scale: str, trust: bool = False) -> Path:
    """workspaces/<scale>/: the tree as it is here, `scale` replaced, results of its own, DVC's cache shared.

    It starts from what the checkout holds of its scale, and keeps following that for every line that was not trained
    there. Of other scales it takes what runs cost, which says in what order to train, and where its scale is that of
    the checkout their histories too, which are reported beside its own. A run that the checkout holds is one that was
    made here only where `trust` says so: else it is made again, if its data can be had.

    Raises:
        ValueError: the folder is no Git checkout, so that nobody knows what belongs to it.
    """
    here = root / "workspaces" / scale
    tracked = {name for name in _listed(root) if (root / name).is_file()}
    generated = {name for name in tracked if name.startswith("reports/")} | {"README.md", "dvc.lock"} & tracked
    own = re.search(rb"(?m)^scale: (\w+)", (root / "params.yaml").read_bytes())
    for name in tracked - generated:
        content = (root / name).read_bytes()
        if name == "params.yaml":
            content = re.sub(rb"(?m)^scale: \w+", f"scale: {scale}".encode(), content, count=1)
        _put(here / name, content)
        shutil.copymode(root / name, here / name)
    for path in sorted(path for kept in _MADE for path in (here / kept).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and str(path.relative_to(here)) not in tracked:
            path.unlink()
    for folder in ("reports/history", "reports/costs", "reports/study"):
        (here / folder).mkdir(parents=True, exist_ok=True)
    if is_cut(lock := here / "dvc.lock"):
        print(f"warning: {lock.relative_to(root)} was cut off by a kill; removed.", file=sys.stderr)
        lock.unlink()
    _seed(root, here, generated, scale, own is not None and own[1].decode() == scale, trust)
    cache = root / ".dvc" / "cache"
    _put(here / ".dvc" / "config.local", f"[core]\n    no_scm = true\n[cache]\n    dir = {cache}\n".encode())
    for folder in _SHARED:
        share(root, here, folder)
    theirs = root / "data/own"
    if theirs.is_dir() and not (here / "data/own").exists():
        (here / "data/own").symlink_to(theirs, target_is_directory=True)  # some of it is read while a network trains
    return here


def prepared(root: Path, problem: str) -> Path:
    """The folder of a problem's prepared arrays: in the checkout, or else in a workspace, where `make repro` works."""
    folders = [root, *sorted((root / "workspaces").glob("*"))]
    own = [folder / "data/processed" / problem for folder in folders]
    return next((folder for folder in own if folder.is_dir()), own[0])


def is_cut(lock: Path) -> bool:
    """Whether a lock ends before its time, which DVC may not read; a lock that is gone costs a look at every stage."""
    if not lock.exists():
        return False
    text = lock.read_text(encoding="utf-8", errors="replace")
    try:
        stages = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"].values()
        whole = all({"path", "md5", "size"} <= set(out) for stage in stages for out in stage["outs"])
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, ValueError):
        return True
    return not whole or not text.endswith("\n")


def _listed(root: Path) -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(f"{root} must be a Git checkout, found that `git ls-files` fails there: {error}.") from None
    return list(filter(None, listed.split("\0")))


def _seed(root: Path, here: Path, generated: set[str], scale: str, same_scale: bool, trust: bool) -> None:
    """Takes over the checkout's results where this folder has none of its own."""
    trained = {path.parent.name for path in (here / "runs").glob("*/seed-*.json")}
    studied = {path.name for path in (here / "runs/study").glob("*")}
    for path in sorted(p for kind in ("history", "costs") for p in (here / "reports" / kind).rglob("*.json*")):
        own_scale = path.relative_to(here).parts[2] == scale
        if not own_scale and str(path.relative_to(here)) not in generated:
            path.unlink()
    for name in sorted(generated):
        path = Path(name)
        _, kind, *inner = (*path.parts, "", "")
        if kind in ("history", "costs"):
            take = path.stem not in trained if inner[0] == scale else kind == "costs" or same_scale
        elif name == LISTED:
            take = True
        elif kind == "study":
            take = same_scale and path.stem not in studied
        else:  # the lock knows the data, which have no scale
            take = not (here / name).exists() and (same_scale or name in ("dvc.lock", "README.md"))
        if take and not (name == "dvc.lock" and is_cut(root / name)):
            content = (root / name).read_bytes()
            _put(here / name, _untrained(content) if kind == "costs" and inner[0] == scale and not trust else content)


def _untrained(costs: bytes) -> bytes:
    """Costs without the fingerprints that say that a run is there."""
    try:
        found = json.loads(costs)
        for cost in found["seeds"].values():
            cost.pop("fingerprint", None)
        found["fingerprints"] = {}
    except (ValueError, LookupError, TypeError, AttributeError):
        return costs  # damaged: who reads them says so
    return json.dumps(found, indent=1, sort_keys=True).encode()


def share(root: Path, here: Path, folder: str) -> None:
    """Data that another folder of this checkout has, without a second copy on disk where that goes.

    Nothing writes into such a file: stages and DVC replace whole folders.
    """
    for other in [root, *sorted((root / "workspaces").glob("*"))]:
        for source in sorted((other / folder).glob("[!.]*")):
            target = here / folder / source.name
            if source.is_dir() and not target.exists():
                staging = target.with_name(f".{target.name}.shared")
                shutil.rmtree(staging, ignore_errors=True)
                shutil.copytree(source, staging, copy_function=_link)
                staging.rename(target)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _put(path: Path, content: bytes) -> None:
    """A file appears whole or not at all, and keeps its time if nothing changed."""
    if path.is_file() and path.read_bytes() == content:
        return
    write({path: content})
