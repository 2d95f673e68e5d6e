"""The ways to a data set's files: an address, a package manager, or the folder of the user's mirror."""

import functools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipelines._download import AbsentError, download, knock

MIRROR = "GRADSURGERY_MIRROR"
_COMMAND_S = 600  # seconds a package manager may take


@dataclass(frozen=True)
class Way:
    """One way to the files: `obtain` leaves them, or an archive with them, in the folder it is given.

    `knock` raises AbsentError where that would come to nothing, as far as can be told without doing it.
    """

    label: str
    obtain: Callable[[Path], None]
    knock: Callable[[], object]


def ways(dataset: Mapping[str, Any]) -> list[Way]:
    """The sources of params.yaml in their order, each package manager before the address of its package."""
    files = [pin["file"] for pin in dataset["arrays"].values()]
    found = []
    for source in dataset["sources"]:
        url = source["url"]
        if source["kind"] == "files":
            urls = [f"{url.rstrip('/')}/{file}.gz" for file in files]
        elif source["kind"] == "archive":
            urls = [url]
        elif source["kind"] == "npm":
            package = f"{source['package']}@{source['version']}"
            found.append(_command("npm", "pack", package, "--ignore-scripts", "--silent"))
            urls = [url]
        elif source["kind"] == "pypi":
            # The source package as it is: nothing of it is installed, and its dependencies are not asked for.
            package = f"{source['package']}=={source['version']}"
            found.append(
                _command(
                    sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", package
                )
            )
            urls = [url]
        elif source["kind"] == "deb":
            # Without the version: the archive may have moved on to another packaging of the same files.
            found.append(_command("apt-get", "download", source["package"]))
            urls = [url]
        else:
            raise ValueError(f"`sources.kind` must be files, archive, npm, pypi or deb, found {source['kind']!r}.")
        found.append(Way(url, functools.partial(download, urls), functools.partial(knock, urls[0])))
    return found


def mirrored(mirror: Path | None, name: str) -> Way:
    """The folder `name` of the mirror, if there is one."""
    return Way(
        MIRROR if mirror is None else f"{MIRROR}={mirror}",
        functools.partial(_copy, mirror, name),
        functools.partial(_own, mirror, name),
    )


def _own(mirror: Path | None, name: str) -> Path:
    """The mirror's folder of one data set."""
    if mirror is None:
        raise AbsentError("not set")
    if not (mirror / name).is_dir():
        raise AbsentError(f"no folder {mirror / name}")
    return mirror / name


def _copy(mirror: Path | None, name: str, folder: Path) -> None:
    for path in _own(mirror, name).iterdir():
        if path.is_file():
            shutil.copy(path, folder / path.name)


def _command(*command: str) -> Way:
    label = " ".join([Path(command[0]).name, *command[1:3]])
    return Way(label, functools.partial(_run, command), functools.partial(_find, command[0]))


def _find(program: str) -> None:
    if shutil.which(program) is None:
        raise AbsentError(f"{Path(program).name} is not installed")


def _run(command: Sequence[str], folder: Path) -> None:
    _find(command[0])
    with tqdm(desc="  waiting", bar_format="{desc}: {elapsed}", disable=None, leave=False) as bar:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        begin = time.monotonic()
        while True:
            try:
                said, _ = process.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                bar.refresh()
                if time.monotonic() - begin > _COMMAND_S:
                    process.kill()
                    process.communicate()
                    raise AbsentError(f"no end after {_COMMAND_S} seconds") from None
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise AbsentError(f"exit code {process.returncode}: {lines[-1]}")
