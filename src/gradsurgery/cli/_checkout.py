"""The repository behind the library: what trains and reports lies there, in `pipelines`, and in no wheel."""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

COMMANDS = {
    "compare": "Your method against others on one problem, paired by seed: a table with intervals, and a page.",
    "new": "Writes the files of a new problem, method or paper: working code, to be changed into your own.",
    "report": "The committed numbers of one problem, and where its page is.",
    "run": "Trains methods on one problem: data, checkpoints and histories go into a folder of your own.",
    "why": "Where a number comes from: experiment, lock, commit, runs, data, environment.",
}
VARIABLE = "GRADSURGERY_CHECKOUT"


def find() -> Path | None:
    """GRADSURGERY_CHECKOUT, else the checkout around the current folder, else the one that this package lies in.

    Raises:
        ValueError: GRADSURGERY_CHECKOUT names a folder that is none.
    """
    if named := os.environ.get(VARIABLE):
        if not _is_checkout(Path(named)):
            raise ValueError(f"`{VARIABLE}` must be a checkout of gradsurgery, found {named!r}.")
        return Path(named).resolve()
    here = Path.cwd()
    return next(filter(_is_checkout, (here, *here.parents, Path(__file__).resolve().parents[3])), None)


def command(name: str) -> ModuleType:
    """The module of a subcommand that needs the checkout.

    Raises:
        ValueError: there is no checkout; with what to do.
        ImportError: a package is missing that the wheel does not ask for; likewise.
    """
    root = find()
    if root is None:
        raise ValueError(
            f"`gradsurgery {name}` needs a checkout of the repository, which no wheel holds, found none around "
            f"{Path.cwd()}: clone it, run `make install` there, and start this inside it or set {VARIABLE} to it."
        )
    if str(root) not in sys.path:
        sys.path.append(str(root))
    try:
        return importlib.import_module(f"pipelines.commands.{name}")
    except ImportError as error:
        raise ImportError(
            f"`gradsurgery {name}` needs the extra `repro`, pip install 'gradsurgery[repro]' or `make install` in "
            f"{root}, found: {error}"
        ) from None


def problems() -> dict[str, str]:
    """What `--problem` takes in the checkout, each with its title; nothing without one, or without what it needs."""
    if find() is None:
        return {}
    try:
        found: dict[str, str] = command("run").problems()
    except ImportError:
        return {}
    return found


def _is_checkout(folder: Path) -> bool:
    return (folder / "pipelines" / "commands").is_dir() and (folder / "params.yaml").is_file()
