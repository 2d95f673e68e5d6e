"""Files of a stage: written whole or not at all; what is read is what was meant, or is refused by name."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines._yaml import parse


class UnwritableError(OSError):
    """Why a file could not be written, in one sentence that names it."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(
            f"{path} cannot be written ({reason}): make room, or make the folder writable, and run the same command "
            "again; what was there before is untouched."
        )


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A place beside `path`, which takes its place at the end. Whatever goes wrong, nothing is left there.

    Raises:
        UnwritableError: no room, no permission.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        os.replace(beside, path)
    except UnwritableError:
        raise
    except OSError as error:
        raise UnwritableError(path, error.strerror or str(error)) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def write(files: Mapping[Path, bytes]) -> None:
    """Writes all files or none: each goes beside its place first, and moves there when all have been written."""
    with contextlib.ExitStack() as stack:
        for path, content in files.items():
            stack.enter_context(staged(path)).write_bytes(content)


def replace(path: Path, text: str) -> None:
    """One text file, with a newline at its end."""
    write({path: f"{text}\n".encode()})


def as_json(document: Any) -> str:
    """Compact, strict, with sorted keys: the same content gives the same bytes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_text(path: Path, remedy: str) -> str:
    """Raises ValueError, with what to do about it, for a file that is missing, unreadable or no text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"{path} must exist, found nothing: {remedy}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} must be text in UTF-8, found other bytes: {remedy}.") from None
    except OSError as error:
        raise ValueError(f"{path} must be readable, found: {error.strerror}: {remedy}.") from None


def read_json(path: Path, remedy: str) -> Any:
    """One JSON file. Raises ValueError, naming file and line, when it is missing or malformed."""
    from gradsurgery.evidence.strict import loads  # here: it brings torch, for which `--help` need not wait

    text = read_text(path, remedy)
    with about(path, remedy):
        try:
            return loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{error.lineno}: must be JSON, found {error.msg}") from None


def read_yaml(path: Path, remedy: str) -> Any:
    """One YAML file, as `_yaml` reads it. Raises ValueError, naming the file, for anything else."""
    text = read_text(path, remedy)
    with about(path, remedy):
        return parse(text, str(path))


@contextlib.contextmanager
def about(path: Path, remedy: str) -> Iterator[None]:
    """What is wrong with the contents of a file becomes one sentence that names it and what to do about it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(named(path, error, remedy)) from None


def named(path: Path, error: Exception, remedy: str) -> str:
    """What is wrong with a file and what to do about it, in one line."""
    said = str(error)
    if remedy in said:
        return said
    return f"{said.rstrip('.')}: {remedy}." if str(path) in said else f"{path}: {said.rstrip('.')}: {remedy}."
