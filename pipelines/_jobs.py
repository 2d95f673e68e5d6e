"""How many processes a command may start, and that it is the only one of its kind."""

import os

import psutil

MOST = 1024


def jobs(asked: str | None, usual: int | None = None) -> int:
    """What `--jobs` says, else `usual`, else the number of cores. Raises ValueError for what is no such number."""
    return usual or psutil.cpu_count() or 1 if asked is None else whole("--jobs", asked)


def whole(name: str, text: str) -> int:
    """A number of processes as people write it. Raises ValueError for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MOST):
        shown = text if len(text) < 20 else f"{text[:20]}..."
        raise ValueError(f"`{name}` must be a whole number from 1 to {MOST}, found {shown!r}.")
    return int(text)


def asked(name: str, given: str | None) -> str | None:
    """An option, or what the environment says, which reaches stages that DVC starts. Raises ValueError."""
    told = os.environ.get(f"GRADSURGERY_{name}")
    if given is None and told:
        whole(f"GRADSURGERY_{name}", told)
        return told
    return given


def refuse_ranks() -> None:
    """Raises ValueError under torchrun and its like: every rank would do all of it and write the same files."""
    if (found := os.environ.get("WORLD_SIZE") or "1") != "1":
        raise ValueError(
            f"`WORLD_SIZE` must be 1 or unset, found {found!r}: start this command once, by itself; its seeds and "
            "experiments share out the machine."
        )
