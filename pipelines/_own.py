"""A user's own data as a source: a file or folder on this machine, or a function of an installed package."""

import importlib
import importlib.util
import shutil
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import _laid_out
from pipelines._download import SourceError
from pipelines._formats import LAID_OUT, Pin, numbers
from pipelines._workspace import checkout

_CALL_S = 600  # seconds that a function may take


def copy(given: str, pins: Mapping[str, Pin], folder: Path) -> None:
    """Leaves in `folder` what lies at `given`: the arrays of an .npz, or else the files as they are.

    Raises:
        SourceError: there is nothing, or it lacks an array.
    """
    path = there(given)
    if any(pin.get("format") in LAID_OUT for pin in pins.values()):
        for array, pin in pins.items():
            _laid_out.save(path, pin["format"], pin["file"], pin["entry"], folder / f"{array}.npy")
        return
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as entries:
                _save(path.name, {name: entries[name] for name in entries.files}, pins, folder)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise SourceError(f"{path} is no .npz of arrays ({error})") from None
        return
    renamed = {f"{pin['entry']}.npy": f"{array}.npy" for array, pin in pins.items() if "entry" in pin}
    for each in path.iterdir() if path.is_dir() else [path]:
        if each.is_file():
            shutil.copy(each, folder / renamed.get(each.name, each.name))


def there(given: str) -> Path:
    """The path, from the checkout's root where it is relative. Raises SourceError where nothing lies there."""
    path = checkout(Path.cwd()) / Path(given).expanduser()
    if not path.exists():
        raise SourceError(f"`path` must be an .npz, a folder or a package, found nothing at {path}")
    return path


def call(function: str, arguments: Mapping[str, Any], pins: Mapping[str, Pin], folder: Path) -> None:
    """Leaves in `folder` what "module:function" returns: a mapping of arrays, or arrays in the order of the pins.

    Raises:
        SourceError: it cannot be imported, fails, does not end, or returns something else.
    """
    installed(function)
    module, _, name = function.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise SourceError(f"`function` must be one that can be imported, found {function} ({error})") from None
    if not callable(found):
        raise SourceError(f"`function` must be a function, found {function}, which is a {type(found).__name__}")
    results: list[Any] = []
    failures: list[Exception] = []

    def work() -> None:
        try:
            results.append(found(**arguments))
        except Exception as error:  # whatever a user's function does wrong, the next source is tried
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_CALL_S)
    if failures:
        raise SourceError(f"{function} failed with {type(failures[0]).__name__}: {failures[0]}")
    if not results:
        raise SourceError(f"{function} did not end within {_CALL_S} seconds")
    _save(function, _named(function, results[0], list(pins)), pins, folder)


def installed(function: str) -> None:
    """Raises SourceError where the package of "module:function" is not installed; nothing is imported."""
    package = function.partition(":")[0].partition(".")[0]
    if importlib.util.find_spec(package) is None:
        raise SourceError(f"`function` must be of an installed package, found {function} and no package {package}")


def _named(function: str, result: Any, arrays: list[str]) -> Mapping[str, Any]:
    if isinstance(result, Mapping):
        return result
    values = list(result) if isinstance(result, tuple | list) else [result]
    if len(values) != len(arrays):
        raise SourceError(f"{function} must return {len(arrays)} arrays ({', '.join(arrays)}), found {len(values)}")
    return dict(zip(arrays, values, strict=True))


def _save(what: str, entries: Mapping[str, Any], pins: Mapping[str, Pin], folder: Path) -> None:
    for array, pin in pins.items():
        # a mapping may call the array something else; a plain array has only the name that the pins give it
        entry = pin["entry"] if pin.get("entry") in entries else array
        if entry not in entries:
            raise SourceError(f"{what} must hold {pin.get('entry', array)}, found only {', '.join(map(str, entries))}")
        np.save(folder / f"{array}.npy", numbers(f"{entry} of {what}", entries[entry]))
