"""Checkpoints and finished seeds in runs/<experiment>/: what is damaged is removed, said, and made again.

A checkpoint is one file, so that one rename makes it whole: a line of JSON that says what it belongs to, then what
`torch.save` wrote. The line is looked at first; what follows is read only when it is this very run's and as long and
as it was written, and then by a reader that runs no code.
"""

import contextlib
import hashlib
import io
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gradsurgery.core.learner import Learner
from gradsurgery.evidence.strict import loads
from pipelines._device import say_elsewhere
from pipelines._files import as_json, read_json, replace, staged

VERSION = 1
Result = dict[str, Any]


def save(path: Path, fingerprint: str, spent: float, learner: Learner) -> None:
    """Writes a checkpoint, whole or not at all; `spent` are the seconds that the run has taken so far."""
    body = io.BytesIO()
    torch.save(learner.state_dict(), body)
    sha256 = hashlib.sha256(body.getbuffer()).hexdigest()
    head = {
        "checkpoint": VERSION, "file": path.name, "fingerprint": fingerprint, "sha256": sha256, "spent": spent,
    }  # fmt: skip
    with staged(path) as beside, open(beside, "wb") as file:
        file.write(f"{as_json(head)}\n".encode())
        file.write(body.getbuffer())


def resume(path: Path, fingerprint: str, make: Callable[[], Learner]) -> tuple[Learner, float]:
    """A learner, continued from its checkpoint if there is one of this very run, and the seconds spent on it.

    Args:
        path: of the checkpoint.
        fingerprint: of all that can change a number of the run; a checkpoint with another one is not read.
        make: makes the learner as it is before its first epoch; called again where a checkpoint breaks off half-way.
    """
    learner = make()
    try:
        found = _read(path, fingerprint, learner.device)
        if found is None:
            return learner, 0.0
        state, spent = found
        try:
            learner.load_state_dict(state)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever a state of another make-up does to the parts it is handed to
            raise ValueError(f"it does not fit this run: {type(error).__name__}") from None
        if not 0 < len(learner.epochs) <= learner.problem.epochs:
            raise ValueError(f"it holds {len(learner.epochs)} epochs of {learner.problem.epochs}")
    except ValueError as error:
        _drop(path, error)
        return make(), 0.0
    return learner, spent


def keep(run: Path, seed: int, fingerprint: str, result: Result) -> None:
    """Writes what a finished seed leaves: its line of the history, its cost, and on what machine."""
    head = {"fingerprint": fingerprint, "sha256": _sha256(result)}
    replace(run / f"seed-{seed}.json", as_json({**head, **result}))


def finished(run: Path, seed: int, fingerprint: str) -> Result | None:
    """What a finished seed left, unless something that can change its numbers has changed since."""
    path = run / f"seed-{seed}.json"
    if not path.exists():
        return None
    try:
        found = read_json(path, "removed")
        if not isinstance(found, dict) or not {"fingerprint", "sha256", "history"} <= set(found):
            raise ValueError("it is no result of a seed, or of an earlier version")
        if not isinstance(found["fingerprint"], str):
            raise ValueError("it is no result of a seed")
        if (there := found.pop("fingerprint")) != fingerprint:
            say_elsewhere(path, there, fingerprint)
            return None
        if found.pop("sha256") != _sha256(found):
            raise ValueError("its contents are not what was written")
        made = found["history"]
        if not run.match(made["experiment"]) or made["seed"] != seed:
            raise ValueError(f"it is of {made['experiment']}, seed {made['seed']}")
    except ValueError as error:
        _drop(path, error)
        return None
    result: Result = found
    return result


def _sha256(result: Result) -> str:
    return hashlib.sha256(as_json(result).encode()).hexdigest()


def _read(path: Path, fingerprint: str, device: torch.device) -> tuple[Any, float] | None:
    """State and seconds; None where there is no checkpoint, or one of another run. Raises ValueError if damaged."""
    if not path.exists():
        return None
    try:
        with open(path, "rb") as file:
            first, body = file.readline(2**16), file.read()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    try:
        head = loads(first.decode())
        whole = head["checkpoint"], head["file"], head["fingerprint"], head["sha256"], head["spent"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError):
        raise ValueError("it is none, or of an earlier version") from None
    version, file_name, found, sha256, spent = whole
    if version != VERSION:
        raise ValueError(f"it is of version {version}, not {VERSION}")
    if found != fingerprint:
        say_elsewhere(path, str(found), fingerprint)
        return None
    if file_name != path.name:
        raise ValueError(f"it is {file_name!r:.40}")
    if hashlib.sha256(body).hexdigest() != sha256:
        raise ValueError("its contents are not what was written")
    if type(spent) is not float or not (math.isfinite(spent) and spent >= 0):
        raise ValueError(f"`spent` must be seconds, found {spent!r}")
    try:
        return torch.load(io.BytesIO(body), weights_only=True, map_location=device), spent
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a reader of foreign bytes may raise anything
        raise ValueError(f"it cannot be read as data alone: {type(error).__name__}") from None


def _drop(path: Path, error: ValueError) -> None:
    why = str(error).removeprefix(f"{path}").lstrip(": ").removesuffix(": removed.").rstrip(".")
    print(f"warning: {path} is damaged ({why}): removed, its seed is trained again.", file=sys.stderr)
    with contextlib.suppress(OSError):
        path.unlink()
