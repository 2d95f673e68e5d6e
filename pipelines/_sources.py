"""The ways to a data set's files: an address, a package, the user's own data, or the folder of the user's mirror.

A package is a name and a version, and comes through the user's own client (npm, pip, apt-get), which knows the user's
registry: no registry's address is written down here. A machine without the client goes on to the next source.
"""

import contextlib
import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipelines import _own
from pipelines._blocks import fields, mapping
from pipelines._download import SourceError, download, knock
from pipelines._formats import lone

MIRROR = "GRADSURGERY_MIRROR"
KINDS = {
    "files": {"url"}, "archive": {"url"}, "npm": {"package", "version"}, "pypi": {"package", "version"},
    "wheel": {"package", "version"}, "deb": {"package", "version"}, "file": {"path"}, "python": {"function"},
}  # fmt: skip
OWN = ("file", "python")  # a user's own data: what they hold need not be pinned
_COMMAND_S, _ASK_S = 600, 14  # seconds a package manager may take, and its answer to a question
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Way:
    """One way to the files: `obtain` leaves them, or an archive with them, in the folder it is given.

    `knock` raises SourceError where that would come to nothing, as far as can be told in seconds without doing it.
    """

    label: str
    obtain: Callable[[Path], None]
    knock: Callable[[], object]


def check_sources(name: str, sources: Sequence[Any]) -> None:
    """Raises ValueError for a source that is not written as its kind needs."""
    for number, source in enumerate(sources):
        where = f"datasets.{name}.sources[{number}]"
        kind = mapping(where, source).get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"`{where}.kind` must be one of {', '.join(KINDS)}, found {kind!r}.")
        fields(where, source, {"kind", *KINDS[kind]}, {"arguments"} if kind == "python" else set())
        for field in sorted(KINDS[kind]):
            if not isinstance(source[field], str):
                raise ValueError(f"`{where}.{field}` must be text, in quotes if need be, found {source[field]!r}.")


def ways(name: str, dataset: Mapping[str, Any]) -> list[Way]:
    """The sources of one data set in their order. Raises ValueError for one that is not written as its kind needs."""
    sources, pins = dataset["sources"], dataset["arrays"]
    check_sources(name, sources)
    return [_way(f"datasets.{name}.sources[{number}]", source, pins) for number, source in enumerate(sources)]


def _way(where: str, source: Mapping[str, Any], pins: Mapping[str, Any]) -> Way:
    kind = source["kind"]
    if kind in ("files", "archive"):
        url = source["url"]
        urls = [url] if kind == "archive" else [f"{url.rstrip('/')}/{pin['file']}.gz" for pin in pins.values()]
        return Way(url, functools.partial(download, urls), functools.partial(knock, urls[0]))
    if kind == "file":
        path = source["path"]
        return Way(path, functools.partial(_own.copy, path, pins), functools.partial(_own.there, path))
    if kind == "python":
        function, arguments = source["function"], mapping(f"{where}.arguments", source.get("arguments", {}))
        if not _FUNCTION.fullmatch(function):
            raise ValueError(f"`{where}.function` must be written module:function, found {function!r}.")
        obtain = functools.partial(_own.call, function, arguments, pins)
        return Way(function, obtain, functools.partial(_own.installed, function))
    package, version = source["package"], source["version"]
    if kind == "npm":
        exact = f"{package}@{version}"
        return _command(
            ["npm", "pack", exact, "--ignore-scripts", "--silent"],
            ["npm", "view", exact, "version", "--fetch-retries=0", f"--fetch-timeout={1000 * _ASK_S}"],
        )
    if kind in ("pypi", "wheel"):
        pip = [sys.executable, "-m", "pip"]
        # The package as it is: nothing of it is installed, and its dependencies are not asked for.
        form = "--no-binary" if kind == "pypi" else "--only-binary"
        return _command(
            [*pip, "download", "--quiet", "--no-deps", form, ":all:", f"{package}=={version}"],
            [*pip, "index", "versions", package, "--retries=0", f"--timeout={_ASK_S}"],
            version,
        )
    # Without the version: the archive may have moved on to another packaging of the same files.
    return _command(["apt-get", "download", package], ["apt-get", "download", "--print-uris", package])


def mirrored(mirror: Path | None, name: str, pins: Mapping[str, Any]) -> Way:
    """The folder `name` of the mirror, if there is one, or those of the mirror's own files that can be no other's."""
    return Way(
        MIRROR if mirror is None else f"{MIRROR}={mirror}",
        functools.partial(_copy, mirror, name, pins),
        functools.partial(_files, mirror, name, pins),
    )


def _files(mirror: Path | None, name: str, pins: Mapping[str, Any]) -> list[Path]:
    """The mirror's files of one data set."""
    if mirror is None:
        raise SourceError("not set")
    if (mirror / name).is_dir():
        return [path for path in (mirror / name).iterdir() if path.is_file()]
    if not (found := [mirror / file for file in sorted(lone(pins)) if (mirror / file).is_file()]):
        raise SourceError(f"no folder {mirror / name}")
    return found


def _copy(mirror: Path | None, name: str, pins: Mapping[str, Any], folder: Path) -> None:
    if mirror is not None and (mirror / name).is_dir():
        _own.copy(str(mirror / name), pins, folder)
        return
    for path in _files(mirror, name, pins):
        shutil.copy(path, folder / path.name)


def _command(command: Sequence[str], question: Sequence[str], expected: str = "") -> Way:
    label = " ".join(word for word in command if word not in (sys.executable, ":all:") and not word.startswith("-"))

    def obtain(folder: Path) -> None:
        _run(command, folder, _COMMAND_S)

    def ask() -> None:
        if expected not in _run(question, None, _ASK_S):
            raise SourceError(f"no version {expected}")

    return Way(label, obtain, ask)


def _run(command: Sequence[str], folder: Path | None, seconds: float) -> str:
    """What a client says. Raises SourceError where there is none, where it fails, or where it does not end."""
    if shutil.which(command[0]) is None:
        raise SourceError(f"{Path(command[0]).name} is not installed")
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            said = process.communicate(timeout=seconds)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            raise SourceError(f"no end after {seconds:g} seconds") from None
        finally:  # also on an interrupt
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
    if process.returncode:
        lines = said.strip().splitlines() or ["it said nothing"]
        telling = [line for line in lines if "error" in line.lower() or line.startswith("E:")]
        raise SourceError(f"exit code {process.returncode}: {(telling or lines[-1:])[0].strip()}")
    return said
