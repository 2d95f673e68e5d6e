"""The folder a run happens in: a copy of the tree, so that nothing that Git knows is touched before it is whole."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from pipelines._files import write

SKIPPED = "reports/skipped.json"  # in a workspace alone: the problems whose data could not be had
# results that follow the checkout's until they are made here
_FOLLOWED = [Path("reports") / name for name in ("history", "costs", "study", "study/costs")]


def cut_locks(root: Path) -> list[Path]:
    """The locks that end before their time. DVC itself notices only where the rest is no YAML or fits no schema."""
    return [lock for lock in (root / "dvc.lock", *sorted(root.glob("pipelines/*/dvc.lock"))) if _is_cut(lock)]


def _is_cut(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        text = lock.read_text(encoding="utf-8")
        stages = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"].values()
        whole = all(
            stage["cmd"] and all({"path", "md5", "size"} <= set(out) for out in stage["outs"]) for stage in stages
        )
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, ValueError):
        return True
    return not whole or not text.endswith("\n")


def checkout(here: Path) -> Path:
    """The checkout that a folder is, or is a workspace of."""
    return here.parents[1] if here.parent.name == "workspaces" else here


def workspace(root: Path, scale: str) -> Path:
    """workspaces/<scale>/: the tree as it is here, `scale` replaced, results of its own, DVC's cache shared.

    That of the scale in params.yaml starts from the checkout's results, and keeps following them for every experiment
    that was not trained there. What a kill can leave half written is told from what is whole, and made again.

    Raises:
        ValueError: the folder is no Git checkout, so that nobody knows what belongs to it.
    """
    here = root / "workspaces" / scale
    tracked = {name for name in _listed(root) if (root / name).is_file()}
    generated = {name for name in tracked if name.startswith("reports/") or name.endswith("dvc.lock")} | {"README.md"}
    wanted = tracked - generated
    own = re.search(rb"(?m)^scale: (\w+)", (root / "params.yaml").read_bytes())
    for name in wanted:
        content = (root / name).read_bytes()
        if name == "params.yaml":
            content = re.sub(rb"(?m)^scale: \w+", f"scale: {scale}".encode(), content, count=1)
        _put(here / name, content)
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
    for lock in cut_locks(here):
        print(f"warning: {lock.relative_to(root)} was cut off by a kill; removed.", file=sys.stderr)
        lock.unlink()
    _seed(root, here, sorted(generated), same_scale=own is not None and own[1].decode() == scale)
    cache = root / ".dvc" / "cache"
    _put(here / ".dvc" / "config.local", f"[core]\n    no_scm = true\n[cache]\n    dir = {cache}\n".encode())
    if not (here / "runs").is_dir():
        if cache.is_dir():  # data, and the runs behind the seeded locks, as far as this machine has them
            command = [sys.executable, "-m", "dvc", "checkout", "--quiet", "--allow-missing"]
            subprocess.run(command, cwd=here, capture_output=True)
        (here / "runs").mkdir(exist_ok=True)
    _share_data(root, here)
    return here


def prepared(root: Path, problem: str) -> Path:
    """The folder of a problem's prepared arrays: in the checkout, or else in a workspace, where `make repro` works."""
    folders = [root, *sorted((root / "workspaces").glob("*"))]
    own = [folder / "data/processed" / problem for folder in folders]
    return next((folder for folder in own if folder.is_dir()), own[0])


def _listed(root: Path) -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(f"{root} must be a Git checkout, found that `git ls-files` fails there: {error}.") from None
    return list(filter(None, listed.split("\0")))


def _seed(root: Path, here: Path, generated: Sequence[str], same_scale: bool) -> None:
    """Takes over the checkout's results where this folder has none of its own."""
    trained = {path.parent.name for path in (here / "runs").glob("*/seed-*.json")}
    trained |= {path.stem for path in (here / "runs/study").glob("*.jsonl")}
    cut = {str(lock.relative_to(root)) for lock in cut_locks(root)}
    for name in generated:
        path = Path(name)
        if path.parent in _FOLLOWED and same_scale:
            take = path.stem not in trained
        elif same_scale or name in ("dvc.lock", "README.md"):  # the lock knows the data, which have no scale
            take = not (here / name).exists() and name not in cut
        else:
            take = False
        if take:
            _put(here / name, (root / name).read_bytes())


def _share_data(root: Path, here: Path) -> None:
    """Raw data sets that another folder of this checkout has, without a second copy on disk where that goes.

    Nothing writes into such a file: `fetch` and DVC replace whole folders.
    """
    for other in [root, *sorted((root / "workspaces").glob("*"))]:
        for source in sorted((other / "data/raw").glob("[!.]*")):
            target = here / "data/raw" / source.name
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
